import { expect, test } from "bun:test";
import { listenAddresses } from "../../../src/roles/init/link-address.ts";

test("listenAddresses: numbers, names, brackets, and several", async () => {
  expect(await listenAddresses("127.0.0.1:8443")).toEqual([{ host: "127.0.0.1", port: 8443 }]);
  expect(await listenAddresses("[::1]:0, 127.0.0.2:9")).toEqual([
    { host: "::1", port: 0 },
    { host: "127.0.0.2", port: 9 },
  ]);
  expect((await listenAddresses("localhost:8443"))[0]?.port).toBe(8443);
});

test("listenAddresses: outside Fly everything is listened on", async () => {
  for (const text of [undefined, ""])
    expect(await listenAddresses(text)).toEqual([{ host: "::", port: 8443 }]);
});

test.each([
  "8443",
  "127.0.0.1",
  "127.0.0.1:",
  ":8443",
  "::1:8443",
  "a:b:1",
  "127.0.0.1:65536",
  "127.0.0.1:-1",
  ",",
])("listenAddresses refuses %p", (text) => {
  expect(listenAddresses(text)).rejects.toThrow("Not an address");
});

test("listenAddresses: a name that was asked for and is not known is an error, not a guess", () => {
  expect(listenAddresses("no-such-name.invalid:8443")).rejects.toThrow("does not resolve");
});
