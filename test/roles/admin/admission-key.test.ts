import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deriveAdmissionKey, parseAdmissionKeys } from "../../../src/quic/admission-key.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";

const machine = "148e21ea7e46e8";
const master = "0a".repeat(32);
let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-master-"));
  path = join(folder, "master");
  writeFileSync(path, `${master}\n`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function derive(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext();
  const code = await main(["admission-key", "derive", ...words], context);
  return { code, out: context.out(), err: context.err() };
}

test("the key of a machine and an epoch, always the same", async () => {
  const { code, out } = await derive("--master-file", path, "--epoch", "5", machine);
  expect(code).toBe(0);
  const expected = deriveAdmissionKey(Buffer.from(master, "hex"), 5, machine);
  expect(parseAdmissionKeys(out)).toEqual([expected]);
  const [first] = parseAdmissionKeys((await derive("--master-file", path, machine)).out);
  expect(first).toEqual({ ...expected, epoch: 0 });
});

test("what is wrong is said, and the master never shown", async () => {
  const bad = join(folder, "bad");
  writeFileSync(bad, `${master}0\n`);
  for (const [words, complaint] of [
    [[machine], "--master-file is missing"],
    [["--master-file", path, "dev"], "14 hexadecimal digits"],
    [["--master-file", path, "--epoch", "8", machine], "--epoch must be"],
    [["--master-file", join(folder, "none"), machine], "cannot be read"],
    [["--master-file", bad, machine], "64 hexadecimal digits"],
  ] as const) {
    const { code, out, err } = await derive(...words);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(complaint);
    expect(err).not.toContain(master);
  }
});
