import { expect, test } from "bun:test";
import { parseForward } from "../../../../src/roles/client/forward/forward-spec.ts";
import { arrowFor, forwardLine } from "../../../../src/roles/client/forward/forward-words.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { cannotListen } from "../../../../src/roles/client/forward/listen-failure.ts";
import { NoteLimiter } from "../../../../src/roles/client/forward/note-limiter.ts";

test.each([
  ["L", "3000", "127.0.0.1:3000 → dev localhost:3000"],
  ["L", "[::1]:80:[fdaa::1]:81", "[::1]:80 → dev [fdaa::1]:81"],
  ["L", "53/udp", "127.0.0.1:53/udp → dev localhost:53/udp"],
  ["R", "9000:db:1", "dev 127.0.0.1:9000 → db:1"],
  ["D", "1080", "127.0.0.1:1080 → dev (SOCKS)"],
] as const)("-%s %s is shown as %s", (kind, text, line) => {
  const spec = parseForward(kind, text);
  expect(forwardLine({ spec, listen: spec.listen }, "dev", "→")).toBe(line);
});

test("an arrow is drawn where the locale has one", () => {
  expect(arrowFor({ LANG: "en_GB.UTF-8" })).toBe("→");
  expect(arrowFor({ LC_ALL: "C", LANG: "en_GB.UTF-8" })).toBe("->");
  expect(arrowFor({ LC_ALL: "", LC_CTYPE: "C.utf8" })).toBe("→");
  expect(arrowFor({})).toBe("->");
});

test("ports below 1024, and other troubles, say what to do", () => {
  const spec = parseForward("L", "80:db:8080");
  const low = cannotListen(spec, spec.listen, "EACCES");
  expect(low).toMatchObject({ code: "FV-FWD-002", because: "EACCES" });
  expect(low.fix).toContain("-L 8080:db:8080");
  const range = parseForward("L", "8000-8002:db:9000-9002");
  const end = { kind: "tcp", host: "127.0.0.1", port: 8001, count: 1 } as const;
  expect(cannotListen(range, end, "EADDRINUSE").fix).toMatch(/-L \d+:db:9001/);
  const socks = parseForward("D", "1080");
  expect(cannotListen(socks, socks.listen, "EADDRINUSE").fix).toMatch(/-D \d+/);
  const foreign = parseForward("L", "203.0.113.9:80:db:80");
  const nowhere = cannotListen(foreign, foreign.listen, "EADDRNOTAVAIL");
  expect(nowhere.because).toBe("203.0.113.9 is no address of this computer (EADDRNOTAVAIL)");
  const name = parseForward("L", "nobody.invalid:80:db:80");
  expect(cannotListen(name, name.listen, "EIO").because).toContain('"nobody.invalid" leads to no');
  const path = parseForward("L", "/root/it's.sock:80");
  expect(cannotListen(path, path.listen, "EADDRINUSE").fix).toEndWith(
    String.raw`rm '/root/it'\''s.sock'`,
  );
  expect(cannotListen(path, path.listen, "EACCES").because).toContain("no socket in /root");
});

test("the same note is said once in a while, with how often it was not", () => {
  const said: string[] = [];
  let nowMs = 0;
  const notes = new NoteLimiter(
    (line) => said.push(line),
    () => nowMs,
  );
  for (let i = 0; i < 5; i++) notes.note("a");
  notes.note("b");
  expect(said).toEqual(["a", "b"]);
  nowMs += clientLimits.noteEveryMs;
  notes.note("a");
  expect(said.at(-1)).toBe("a (and 4 times since)");
  // More kinds of trouble than are told apart: the oldest is forgotten, and said anew.
  for (let i = 0; i < clientLimits.notesMax; i++) notes.note(`n${i}`);
  notes.note("a");
  expect(said.at(-1)).toBe("a");
});
