import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type ForwardEnd,
  type ForwardKind,
  ForwardSpecError,
  parseForward,
  parseTarget,
  showEnd,
  withGateway,
} from "../../../../src/roles/client/forward/forward-spec.ts";
import { seeded } from "../../../support/seed.ts";

function shown(kind: ForwardKind, text: string): string {
  const { listen, target } = parseForward(kind, text);
  return target === undefined ? showEnd(listen) : `${showEnd(listen)} -> ${showEnd(target)}`;
}

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof ForwardSpecError) return error.message;
    throw error;
  }
  return "";
}

test.each([
  ["3000", "127.0.0.1:3000 -> localhost:3000"],
  ["8080:3000", "127.0.0.1:8080 -> localhost:3000"],
  ["8080:db:5432", "127.0.0.1:8080 -> db:5432"],
  ["8080:[fdaa::3]:80", "127.0.0.1:8080 -> [fdaa::3]:80"],
  ["[::1]:8080:db:80", "[::1]:8080 -> db:80"],
  ["0.0.0.0:8080:db:80", "0.0.0.0:8080 -> db:80"],
  ["*:8080:db:80", "[::]:8080 -> db:80"],
  [":8080:db:80", "[::]:8080 -> db:80"],
  ["8000-8010", "127.0.0.1:8000-8010 -> localhost:8000-8010"],
  ["8000-8010:9000-9010", "127.0.0.1:8000-8010 -> localhost:9000-9010"],
  ["8000-8001:db:5432-5433", "127.0.0.1:8000-8001 -> db:5432-5433"],
  ["/tmp/a.sock:/run/b.sock", "/tmp/a.sock -> /run/b.sock"],
  ["8080:/run/b.sock", "127.0.0.1:8080 -> /run/b.sock"],
  ["127.0.0.2:8080:/run/b.sock", "127.0.0.2:8080 -> /run/b.sock"],
  ["/tmp/a.sock:db:5432", "/tmp/a.sock -> db:5432"],
  ["/tmp/a.sock:5432", "/tmp/a.sock -> localhost:5432"],
  ["/tmp/Group Containers/a.sock:80", "/tmp/Group Containers/a.sock -> localhost:80"],
  ["5353/udp", "127.0.0.1:5353/udp -> localhost:5353/udp"],
  ["5353:host:53/udp", "127.0.0.1:5353/udp -> host:53/udp"],
  ["[::1]:5353:host:53/UDP", "[::1]:5353/udp -> host:53/udp"],
  ["3000/tcp", "127.0.0.1:3000 -> localhost:3000"],
  ["0:db:80", "127.0.0.1:0 -> db:80"],
  ["8080:/srv/5/udp", "127.0.0.1:8080 -> /srv/5/udp"],
])("-L %s is %s", (text, expected) => {
  expect(shown("L", text)).toBe(expected);
});

test.each([
  ["R", "9000", "127.0.0.1:9000 -> localhost:9000"],
  ["R", "0:localhost:3000", "127.0.0.1:0 -> localhost:3000"],
  ["R", "/run/agent.sock:/tmp/agent.sock", "/run/agent.sock -> /tmp/agent.sock"],
  ["D", "1080", "127.0.0.1:1080"],
  ["D", "[::1]:1080", "[::1]:1080"],
  ["D", "*:1080", "[::]:1080"],
] as const)("-%s %s is %s", (kind, text, expected) => {
  expect(shown(kind, text)).toBe(expected);
});

test.each([
  ["L", "", "is empty"],
  ["L", "0", "lacks its target"],
  ["L", "65536", "ports are 1 to 65535"],
  ["L", "a", 'begins with "a"'],
  ["L", "db:5432", "did you mean 5432:db:5432?"],
  ["L", "1:", "lacks a port"],
  ["L", ":1", 'begins with ""'],
  ["L", "1:b", '"b" where a port should be'],
  ["L", "1:b:c", '"c" where a port should be'],
  ["L", "1:2:3:4:5", "has 5 parts"],
  ["L", "80:::1:80", "put it in brackets"],
  ["L", "[::1:80", "bracket out of place"],
  ["L", "[db]:1:a:2", "they are for IPv6 addresses"],
  ["L", "-1", '"-1" where a port should be'],
  ["L", "1e3", '"1e3" where a port should be'],
  ["L", "3000->8000", "did you mean 3000:8000 or 3000-8000?"],
  ["L", "3000/8000", "did you mean 3000:8000 or 3000-8000?"],
  ["L", "3000,8000", "did you mean 3000:8000 or 3000-8000?"],
  ["L", "udp/5353", "did you mean 5353/udp?"],
  ["L", "udp:5353", "did you mean 5353/udp?"],
  ["L", "5353/sctp", "only /udp and /tcp"],
  ["L", "9-8", "runs backwards"],
  ["L", "1-1000", "at most 256"],
  ["L", "1-3:5-6", "3 ports that listen and 2 to reach"],
  ["L", "80 :80", "has a space"],
  ["L", "3000 3001", "has a space"],
  ["L", "/tmp/a.sock :80", "has a space"],
  ["L", "/tmp/a.sock:80 :81", "has a space"],
  ["L", "/tmp/a\n.sock:80", "has a control character"],
  ["L", "./a.sock:80", '"./a.sock", which does not begin with a slash'],
  ["L", "80:~/a.sock", '"~/a.sock", which does not begin with a slash'],
  ["L", "/tmp/a.sock", "lacks its target"],
  ["L", "/tmp/:80", "of a folder"],
  ["L", `/${"x".repeat(107)}:80`, "at most 107"],
  ["L", "5353:/a/udp.sock:1:2:3", "has 5 parts"],
  ["L", "80:relative/x:80", '"relative/x" where a host should be'],
  ["R", "53/udp", "UDP, which is forwarded by -L alone"],
  ["R", "1000-1032", "at most 32"],
  ["D", "1080:localhost:80", "names a target"],
  ["D", "1080-1081", "more than one port"],
  ["D", "/tmp/socks", "is a path"],
] as const)("-%s %j: %s", (kind, text, why) => {
  expect(refusal(() => parseForward(kind, text))).toContain(why);
});

test("what is open to others has to be said, and opens what has no address of its own", () => {
  for (const text of ["*:1:a:2", "0.0.0.0:1:a:2", "192.168.1.2:1:a:2", "dev:1:a:2"])
    expect(refusal(() => withGateway(parseForward("L", text), false))).toContain("--gateway");
  expect(refusal(() => withGateway(parseForward("R", "*:1:a:2"), false))).toContain("the vault");
  for (const text of ["1", "127.8.9.1:1:a:2", "[::1]:1:a:2", "localhost:1:a:2"])
    expect(withGateway(parseForward("L", text), false)).toEqual(parseForward("L", text));
  const opened = withGateway(parseForward("R", "1"), true);
  expect(showEnd(opened.listen)).toBe("[::]:1");
  const given = withGateway(parseForward("L", "127.0.0.1:1:a:2"), true);
  expect(showEnd(given.listen)).toBe("127.0.0.1:1");
});

test("targets of -W", () => {
  expect(showEnd(parseTarget("db:22"))).toBe("db:22");
  expect(showEnd(parseTarget("[::1]:22"))).toBe("[::1]:22");
  expect(showEnd(parseTarget("/run/x.sock"))).toBe("/run/x.sock");
  for (const text of ["22", "db", "db:0", "a:b:c", "db:1-2", ""])
    expect(refusal(() => parseTarget(text))).not.toBe("");
});

const port = fc.integer({ min: 1, max: 65_535 });
const host = fc.oneof(
  fc.constantFrom("localhost", "db", "127.0.0.1", "a.b-c.example"),
  fc.ipV6().map((address) => address.toLowerCase()),
);
const path = fc.stringMatching(/^\/[a-z.][a-z. ]{0,20}[a-z.]$/);
const inet = (kind: "tcp" | "udp"): fc.Arbitrary<ForwardEnd> =>
  fc.record({ kind: fc.constant(kind), host, port, count: fc.constant(1) });
const unix: fc.Arbitrary<ForwardEnd> = path.map((text) => ({ kind: "unix", path: text }));

test("what is shown is read again as the same", () => {
  const pairs = fc.oneof(
    fc.tuple(fc.oneof(inet("tcp"), unix), fc.oneof(inet("tcp"), unix)),
    fc.tuple(inet("udp"), inet("udp")),
  );
  fc.assert(
    fc.property(pairs, ([listen, target]) => {
      // The protocol is said once, at the end.
      const text = `${showEnd(listen).replace("/udp", "")}:${showEnd(target)}`;
      const spec = parseForward("L", text);
      expect(spec.listen).toEqual(listen);
      expect(spec.target).toEqual(target);
    }),
    seeded(500),
  );
});

test("any text is a spec or refused in words, and a spec keeps to its limits", () => {
  const pieces = fc.array(
    fc.constantFrom(
      "80",
      "0",
      ":",
      "[",
      "]",
      "::1",
      "/",
      "udp",
      "-",
      "*",
      "host",
      " ",
      "é",
      "70000",
    ),
    { maxLength: 9 },
  );
  const texts = fc.oneof(
    pieces.map((each) => each.join("")),
    fc.string({ maxLength: 30 }),
  );
  fc.assert(
    fc.property(texts, fc.constantFrom("L" as const, "R" as const, "D" as const), (text, kind) => {
      try {
        const { listen, target } = parseForward(kind, text);
        for (const end of [listen, target])
          if (end !== undefined && end.kind !== "unix") {
            expect(end.port + end.count - 1).toBeLessThanOrEqual(65_535);
            expect(end.host).not.toBe("");
          }
      } catch (error) {
        expect(error).toBeInstanceOf(ForwardSpecError);
      }
    }),
    seeded(2000),
  );
});
