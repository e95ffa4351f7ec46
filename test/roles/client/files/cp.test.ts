import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { runCp } from "./run-cp.ts";

setDefaultTimeout(120_000);

let vault: TestVault;
/** Ours, and the home folder in the vault. */
let here: string;
let there: string;

beforeEach(async () => {
  vault = await TestVault.open();
  here = join(vault.folder, "here");
  there = vault.folder;
  mkdirSync(here);
});
afterEach(async () => {
  await vault.close();
});

const cp = (words: readonly string[], stdin?: readonly Uint8Array[]) =>
  runCp(vault.env, words, stdin);

async function cpAsking(answers: string, ...words: readonly string[]): Promise<string> {
  const env = { ...vault.env, TERM: "dumb" };
  const context = memoryContext({ env, tty: true, stdin: [Buffer.from(answers)] });
  expect(await main(["cp", "-i", ...words], context)).toBe(0);
  return context.err();
}

function content(path: string): string {
  return readFileSync(path, "utf8");
}

test("a file goes up and comes back, byte for byte", async () => {
  const bytes = randomBytes(3_000_001);
  writeFileSync(join(here, "a.bin"), bytes);
  const up = await cp([join(here, "a.bin"), "dev:up.bin"]);
  expect(up.err).toContain("sha256");
  expect(up.code).toBe(0);
  expect(readFileSync(join(there, "up.bin")).equals(bytes)).toBe(true);
  const down = await cp(["dev:up.bin", join(here, "b.bin")]);
  expect(down.code).toBe(0);
  expect(readFileSync(join(here, "b.bin")).equals(bytes)).toBe(true);
  expect(readdirSync(there).filter((name) => name.endsWith(".part"))).toEqual([]);
});

test("a tree keeps its folders, links, modes and times", async () => {
  const tree = join(here, "tree");
  mkdirSync(join(tree, "a/b/empty"), { recursive: true });
  writeFileSync(join(tree, "a/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(tree, "a/b/secret"), "s", { mode: 0o600 });
  symlinkSync("/etc/passwd", join(tree, "absolute"));
  symlinkSync("nowhere", join(tree, "dangling"));
  chmodSync(join(tree, "a/b"), 0o555);
  utimesSync(join(tree, "a/run.sh"), 1_000_000, 1_000_000.5);
  utimesSync(join(tree, "a/b"), 5, 5);
  const { code, err } = await cp(["-rp", tree, "dev:copy"]);
  expect(err).toContain("4 files");
  expect(code).toBe(0);
  const copy = join(there, "copy");
  expect(readdirSync(join(copy, "a/b")).toSorted()).toEqual(["empty", "secret"]);
  expect(content(join(copy, "a/run.sh"))).toBe("#!/bin/sh\n");
  expect(statSync(join(copy, "a/run.sh")).mode & 0o777).toBe(0o755);
  expect(statSync(join(copy, "a/run.sh")).mtimeMs).toBe(1_000_000_500);
  expect(statSync(join(copy, "a/b")).mode & 0o777).toBe(0o555);
  expect(statSync(join(copy, "a/b")).mtimeMs).toBe(5000);
  expect(statSync(join(copy, "a/b/secret")).mode & 0o777).toBe(0o600);
  expect(readlinkSync(join(copy, "absolute"))).toBe("/etc/passwd");
  expect(readlinkSync(join(copy, "dangling"))).toBe("nowhere");
  // And down again, into a folder that is there.
  expect((await cp(["-r", "dev:copy", here])).code).toBe(0);
  expect(content(join(here, "copy/a/run.sh"))).toBe("#!/bin/sh\n");
  expect(readlinkSync(join(here, "copy/absolute"))).toBe("/etc/passwd");
});

test("where things go is as with cp", async () => {
  writeFileSync(join(here, "f"), "f");
  writeFileSync(join(here, "g"), "g");
  mkdirSync(join(here, "d"));
  writeFileSync(join(here, "d/x"), "x");
  mkdirSync(join(there, "into"));
  expect((await cp([join(here, "f"), "dev:into"])).code).toBe(0);
  expect(content(join(there, "into/f"))).toBe("f");
  expect((await cp([join(here, "f"), join(here, "g"), "dev:into/"])).code).toBe(0);
  expect(content(join(there, "into/g"))).toBe("g");
  expect((await cp(["-r", join(here, "d"), "dev:into"])).code).toBe(0);
  expect(content(join(there, "into/d/x"))).toBe("x");
  expect((await cp(["-r", join(here, "d"), "dev:new"])).code).toBe(0);
  expect(content(join(there, "new/x"))).toBe("x");
  expect((await cp(["-r", `${here}/d/.`, "dev:new2"])).code).toBe(0);
  expect(content(join(there, "new2/x"))).toBe("x");
  expect((await cp(["-r", `${here}/d/.`, "dev:into"])).code).toBe(0);
  expect(content(join(there, "into/x"))).toBe("x");
  expect((await cp([join(here, "f"), join(here, "g"), "dev:gone"])).code).toBe(3);
  expect((await cp([join(here, "f"), "dev:gone/"])).code).toBe(3);
  expect((await cp([join(here, "f"), "dev:no/such/folder"])).code).toBe(3);
  expect((await cp([join(here, "d"), "dev:x"])).err).toContain("FV-CP-004");
  expect((await cp(["-r", join(here, "d"), "dev:into/f"])).err).toContain("FV-CP-004");
});

/** Words in a hurry, the exit code, and what is said or there after. "f" and "d/x" are here, "rf" and "rd/y" there. */
const hurried: readonly (readonly [readonly string[], number, RegExp | string])[] = [
  [["f", "dev:~/"], 0, "f"],
  [["f", "dev:~/rd/"], 0, "rd/f"],
  [["f", "dev:~"], 0, "f"],
  [["f", "dev:rf/"], 1, /rf\/: not a folder$/m],
  [["f", "dev:rd/no/"], 3, /^error: \S+rd\/no\/?: there is no such folder$/m],
  [["dev:rf", "no/such"], 3, /^error: \S+here\/no: there is no such folder$/m],
  [["d", "dev:"], 1, /^error: \S+here\/d: is a folder\n {2}fix: {3}-r copies folders$/m],
  [["dev:", "."], 1, /: is a folder\n/],
  [["f", "dev:rd"], 0, "rd/f"],
  [["-r", "d", "dev:nd/"], 0, "nd/x"],
  [["-r", "d/", "dev:rd"], 0, "rd/d/x"],
  [["f", "dev:rd/y/z"], 1, /rd\/y\/z: not a folder$/m],
  [["dev:rf", "/dev/null"], 1, /^error: \/dev\/null: a device/m],
  [["dev:rf", "../to-pipe"], 1, /^error: \S+to-pipe: a device.*\n {2}fix: {3}name another/m],
  [["f", "dev:/dev/null"], 1, /^error: \/dev\/null: a device/m],
  [["f", "dev"], 2, /NAME:PATH/],
  [["a\u001b[31m\nb", "dev:"], 3, /^copying a \[31m b to dev:\.\n/],
];

test.each(hurried)("cp %p ends with %i", async (words, code, then) => {
  writeFileSync(join(here, "f"), "f");
  writeFileSync(join(there, "rf"), "rf");
  for (const path of [join(here, "d"), join(there, "rd")]) mkdirSync(path);
  writeFileSync(join(here, "d/x"), "x");
  writeFileSync(join(there, "rd/y"), "y");
  Bun.spawnSync(["mkfifo", join(there, "pipe")]);
  // As /dev/stdout is one.
  symlinkSync("pipe", join(there, "to-pipe"));
  const before = process.cwd();
  process.chdir(here);
  try {
    const done = await cp(words);
    expect([done.code, done.err]).toEqual([code, done.err]);
    if (typeof then === "string") expect(existsSync(join(there, then))).toBe(true);
    else expect(done.err).toMatch(then);
    expect(readdirSync(here).toSorted()).toEqual(["d", "f"]);
  } finally {
    process.chdir(before);
  }
});

test("of a changed file only what changed is sent, put in or taken out", async () => {
  const bytes = randomBytes(8_000_000);
  const changed = Buffer.concat([
    bytes.subarray(0, 3_000_000),
    Buffer.from("put in"),
    bytes.subarray(3_000_100),
  ]);
  writeFileSync(join(there, "big"), bytes, { mode: 0o640 });
  writeFileSync(join(here, "big"), changed);
  const up = await cp(["--json", join(here, "big"), "dev:big"]);
  expect(up.code).toBe(0);
  expect(readFileSync(join(there, "big")).equals(changed)).toBe(true);
  expect(statSync(join(there, "big")).mode & 0o777).toBe(0o640);
  const result = JSON.parse(up.out.trim().split("\n").at(-1) ?? "");
  expect(result).toMatchObject({
    type: "result",
    files: 1,
    bytes: changed.length,
    resent_bytes: 0,
  });
  expect(result.sent_bytes).toBeLessThan(300_000);
  expect(result.sent_bytes).toBeGreaterThan(0);
  const again = await cp(["--json", join(here, "big"), "dev:big"]);
  expect(JSON.parse(again.out.trim().split("\n").at(-1) ?? "")).toMatchObject({
    same: 1,
    sent_bytes: 0,
  });
});

test("what was broken off is gone on with, if it is the beginning of the file", async () => {
  const bytes = randomBytes(5_000_000);
  writeFileSync(join(here, "big"), bytes);
  writeFileSync(join(there, ".big.part"), bytes.subarray(0, 3_000_000));
  const up = await cp([join(here, "big"), "dev:"]);
  expect(up.err).toContain("resuming at 2.9 MiB");
  expect(up.err).toContain("1.9 MiB sent, 0 B resent");
  expect(readFileSync(join(there, "big")).equals(bytes)).toBe(true);
  writeFileSync(join(here, ".down.part"), randomBytes(3_000_000));
  const down = await cp(["dev:big", join(here, "down")]);
  expect(down.err).not.toContain("resuming");
  expect(readFileSync(join(here, "down")).equals(bytes)).toBe(true);
  expect(existsSync(join(here, ".down.part"))).toBe(false);
});

test("a lost link in the middle costs no byte", async () => {
  const bytes = randomBytes(40_000_000);
  writeFileSync(join(here, "big"), bytes);
  const running = cp(["--json", join(here, "big"), "dev:big"]);
  const part = join(there, ".big.part");
  for (const place of [2_000_000, 20_000_000]) {
    while ((existsSync(part) ? statSync(part).size : 0) < place && !existsSync(join(there, "big")))
      await Bun.sleep(2);
    await vault.restartLink();
  }
  const { code, out } = await running;
  expect(code).toBe(0);
  expect(readFileSync(join(there, "big")).equals(bytes)).toBe(true);
  expect(out).toContain('"type":"resuming"');
});

test("holes stay holes", async () => {
  const path = join(here, "sparse");
  writeFileSync(path, "begin");
  truncateSync(path, 50_000_000);
  expect((await cp([path, "dev:sparse"])).code).toBe(0);
  const { size, blocks } = statSync(join(there, "sparse"));
  expect(size).toBe(50_000_000);
  expect(blocks * 512).toBeLessThan(1_000_000);
  expect((await cp(["dev:sparse", join(here, "back")])).code).toBe(0);
  expect(statSync(join(here, "back")).blocks * 512).toBeLessThan(1_000_000);
});

test("what is wrong with one file does not stop the others", async () => {
  const tree = join(here, "tree");
  mkdirSync(tree);
  for (const name of ["a", "b", "c"]) writeFileSync(join(tree, name), name);
  mkdirSync(join(there, "tree/b"), { recursive: true });
  const { code, err } = await cp(["-r", tree, "dev:"]);
  expect(code).toBe(8);
  expect(err).toContain("FV-CP-001");
  expect(err).toContain(`${there}/tree/b`);
  expect(content(join(there, "tree/c"))).toBe("c");
  const two = await cp([join(tree, "a"), join(tree, "missing"), "dev:tree"]);
  expect(two.code).toBe(8);
  expect(two.err).toContain("missing: no such file or folder");
  expect((await cp(["dev:none", here])).code).toBe(3);
});

test("-n keeps, --dry-run writes nothing, --exclude leaves out", async () => {
  const tree = join(here, "tree");
  mkdirSync(join(tree, "node_modules/x"), { recursive: true });
  mkdirSync(join(tree, "src"));
  writeFileSync(join(tree, "node_modules/x/y"), "y");
  writeFileSync(join(tree, "src/a.o"), "o");
  writeFileSync(join(tree, "src/a.c"), "new");
  const dry = await cp([
    "-r",
    "--dry-run",
    "--exclude",
    "node_modules",
    "--exclude",
    "*.o",
    tree,
    "dev:",
  ]);
  expect(dry.out).toBe(`copy ${tree}/src/a.c\n`);
  expect(existsSync(join(there, "tree"))).toBe(false);
  mkdirSync(join(there, "tree/src"), { recursive: true });
  writeFileSync(join(there, "tree/src/a.c"), "old");
  const kept = await cp(["-rn", "--exclude=tree/src/x", "--exclude=src/a.o", tree, "dev:"]);
  expect(kept.err).toContain("1 kept");
  expect(content(join(there, "tree/src/a.c"))).toBe("old");
  expect(existsSync(join(there, "tree/src/a.o"))).toBe(false);
  expect(existsSync(join(there, "tree/node_modules/x/y"))).toBe(true);
});

test("-i asks about each that is there, and only at a terminal", async () => {
  for (const name of ["a", "b", "c"]) writeFileSync(join(here, name), `new ${name}`);
  for (const name of ["a", "b"]) writeFileSync(join(there, name), "old");
  const sources = ["a", "b", "c"].map((name) => join(here, name));
  const err = await cpAsking("y\nn\n", ...sources, "dev:");
  expect(err).toContain(`replace ${here}/a? [y/N] replace ${here}/b? [y/N] `);
  expect(["a", "b", "c"].map((name) => content(join(there, name)))).toEqual([
    "new a",
    "old",
    "new c",
  ]);
  await cpAsking("n\ny\n", "dev:a", "dev:b", here);
  expect(["a", "b"].map((name) => content(join(here, name)))).toEqual(["new a", "old"]);
  expect((await cp(["-i", ...sources, "dev:"])).code).toBe(2);
});

test("globs are matched in the vault, and never more is taken than was asked for", async () => {
  for (const name of ["one.log", "two.log", "three.txt", ".hidden.log"])
    writeFileSync(join(there, name), name);
  expect((await cp(["dev:*.log", here])).code).toBe(0);
  expect(readdirSync(here).toSorted()).toEqual(["one.log", "two.log"]);
  expect((await cp(["dev:*.nothing", here])).code).toBe(3);
});

test("a copy that never gets anywhere ends with a word", async () => {
  vault.breaksCopies = true;
  const broken = await cp(["dev:a", here]);
  expect(broken.code).toBe(1);
  expect(broken.err).toContain("the copy broke off again and again");
  expect(vault.copies).toBe(clientLimits.copyAttemptsInVainMax);
  vault.onRequest = () => new RemoteError("limit", "16 copies run here already");
  const { code, err } = await cp(["dev:a", here]);
  expect(code).toBe(6);
  expect(err).toContain("16 copies");
});

test("words that make no copy are told at once", async () => {
  for (const words of [
    ["a", "b"],
    ["dev:a", "dev:b"],
    ["dev:a", "other:b", "c"],
    ["a"],
    ["-", "a", "dev:b"],
  ])
    expect((await cp(words)).code).toBe(2);
});
