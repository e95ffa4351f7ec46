import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseGroups, parsePasswd } from "../../../src/roles/init/account.ts";
import { seeded } from "../../support/seed.ts";

const passwd = [
  "# a comment",
  "root:x:0:0:root:/root:/bin/bash",
  "broken:x:zero:0::/:/bin/sh",
  "short:x:1:1",
  "negative:x:-1:0::/:/bin/sh",
  "huge:x:99999999999:0::/:/bin/sh",
  "beyond:x:4294967296:0::/:/bin/sh",
  "unchanged:x:1:4294967295::/:/bin/sh",
  "dev:x:1000:1000:,,,:/home/dev:/bin/zsh",
  "bare:x:1001:1001:::",
].join("\n");

test("parsePasswd finds by name and by number", () => {
  const dev = { name: "dev", uid: 1000, gid: 1000, home: "/home/dev", shell: "/bin/zsh" };
  expect(parsePasswd(passwd, "dev")).toEqual(dev);
  expect(parsePasswd(passwd, "1000")).toEqual(dev);
  expect(parsePasswd(passwd, "bare")).toMatchObject({ home: "/", shell: "/bin/sh" });
});

test.each(["broken", "short", "negative", "huge", "beyond", "unchanged", "nobody", "", "x"])(
  "parsePasswd does not find %p",
  (user) => {
    expect(parsePasswd(passwd, user)).toBeUndefined();
  },
);

test("parseGroups: the primary one and those that list the user", () => {
  const group =
    "root:x:0:\nwheel:x:10:root,dev\nbad:x:ten:dev\ndevs:x:20:developer\naudio:x:29:dev\n";
  expect(parseGroups(group, "dev", 1000)).toEqual([1000, 10, 29]);
});

test("whatever the files hold, the numbers are numbers", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), fc.string({ maxLength: 10 }), (text, user) => {
      const account = parsePasswd(text, user);
      if (account !== undefined) expect(Number.isSafeInteger(account.uid + account.gid)).toBe(true);
      expect(parseGroups(text, user, 7).every(Number.isSafeInteger)).toBe(true);
    }),
    seeded(500),
  );
});
