import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const child = join(import.meta.dir, "spawn-there.child.ts");
const source = join(import.meta.dir, "../../src/system/spawn-there.ts");

// What becomes hot where depends on all that ran before, so there are several limits of being hot.
const cases = ["theirs", "new"].flatMap((kind) =>
  ["root", "nobody"].flatMap((who) => [300, 500].map((limit) => [kind, who, limit] as const)),
);

test.each(cases)("a process in a PID namespace (%s), as %s, 200 times, hot at %d", (...words) => {
  const [kind, who, limit] = words;
  const done = Bun.spawnSync([process.execPath, child, kind, who], {
    env: { PATH: process.env["PATH"] ?? "", BUN_JSC_thresholdForJITAfterWarmUp: String(limit) },
  });
  expect(done.stderr.toString()).toBe("");
  const ids = who === "nobody" ? "65534 65533 65533 65531 65532" : "0 0 0";
  const end = JSON.stringify({ kind: "exited", code: 0 });
  expect(done.stdout.toString()).toBe(`${ids}\n${end} 0 0\n`);
});

// Which of them meets an idle compiler is chance; so the way itself is looked at, too.
test("between leaving home and being back there is nothing that may want a thread", () => {
  const [, way = ""] = /\n {2}const went =([^]*?)\n {2}\/\/ Half there/.exec(
    readFileSync(source, "utf8"),
  ) ?? [undefined];
  const called = new Set([...way.matchAll(/([\w.]+)\(/g)].map(([, name]) => name));
  expect(called).toEqual(new Set(["unshare", "setns", "syscall", "posix_spawn"]));
  expect(way).toContain("setns(home, 0)");
  expect(way).not.toMatch(/=>|\b(for|while|new|try|await|function)\b|[[`"]|\.\.\./);
});
