import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BrokenPipe } from "../../../../src/cli/context.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { type CopyRun, runCp } from "./run-cp.ts";

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

test("standard input and output, and what is left of them", async () => {
  expect((await cp(["-", "dev:in"], [Buffer.from("one "), Buffer.from("two")])).code).toBe(0);
  expect(readFileSync(join(there, "in"), "utf8")).toBe("one two");
  const down = await cp(["dev:in", "-"]);
  expect(down.out).toBe("one two");
  expect((await cp(["--json", "dev:in", "-"])).code).toBe(2);
  const two = await cp(["dev:i*", "-"]);
  expect([two.code, two.out]).toEqual([0, "one two"]);
  writeFileSync(join(there, "in2"), "three");
  const several = await cp(["dev:i*", "-"]);
  expect([several.code, several.out]).toEqual([8, "one two"]);
  expect(several.err).toContain("only one file can go to standard output");
});

/** As somebody sees who reads slowly; `midway` comes when some of it is out. */
async function cpToOutput(midway: (context: MemoryContext) => Promise<void>): Promise<CopyRun> {
  let bytes = 0;
  let isOver = false;
  const context: MemoryContext = memoryContext({
    env: vault.env,
    onOut: async (chunk) => {
      bytes += chunk.length;
      if (bytes < 2_000_000 || isOver) return;
      isOver = true;
      await midway(context);
    },
  });
  const code = await main(["cp", "dev:big", "-"], context);
  return { code, context, out: "", err: context.err() };
}

test("standard output gets each byte once, as it comes, over a lost link", async () => {
  const bytes = randomBytes(20_000_000);
  writeFileSync(join(there, "big"), bytes);
  const { code, context } = await cpToOutput(async () => {
    // Nothing is read ahead of what is out.
    await Bun.sleep(50);
    await vault.restartLink();
  });
  expect(code).toBe(0);
  expect(Buffer.compare(context.outBytes(), bytes)).toBe(0);
});

test("a file that changed while the link was lost is not put together of two", async () => {
  writeFileSync(join(there, "big"), randomBytes(20_000_000));
  const { code, err } = await cpToOutput(async () => {
    await vault.restartLink();
    writeFileSync(join(there, "big"), randomBytes(20_000_000));
  });
  expect(code).toBe(7);
  expect(err).toContain("changed after its beginning was written to standard output");
});

test("who reads standard output may leave, and who writes standard input may be stopped", async () => {
  writeFileSync(join(there, "big"), randomBytes(20_000_000));
  const gone = await cpToOutput(async () => Promise.reject(new BrokenPipe("gone")));
  expect([gone.code, gone.err.includes("bug")]).toEqual([141, false]);
  const spools = join(vault.folder, "spools");
  mkdirSync(spools);
  const { TMPDIR } = process.env;
  process.env["TMPDIR"] = spools;
  const never = Promise.withResolvers<Uint8Array>();
  const begun = Promise.withResolvers<void>();
  const stdin = (async function* () {
    yield Buffer.from("some");
    begun.resolve();
    yield await never.promise;
  })();
  const context = memoryContext({ env: vault.env, stdin });
  try {
    const running = main(["cp", "-", "dev:never"], context);
    await begun.promise;
    expect(readdirSync(spools)).toHaveLength(1);
    context.stop("SIGINT");
    expect(await running).toBe(130);
  } finally {
    if (TMPDIR === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = TMPDIR;
  }
  expect(readdirSync(spools)).toEqual([]);
  expect(existsSync(join(there, "never"))).toBe(false);
});
