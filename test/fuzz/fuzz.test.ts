import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childEnv } from "../../src/system/child-env.ts";
import { fuzzFailure, type FuzzResult, type FuzzRun } from "../support/fuzz.ts";
import { LastInput } from "../support/last-input.ts";
import { seed } from "../support/seed.ts";
import { type FiledTarget, targets } from "./targets.ts";

/**
 * Every target, by number here, by time with `make fuzz SECONDS=600 SEED=1`: each gets the same share
 * of the seconds. docs/testing.md has what each of them proves.
 */

const seconds = (Number(process.env["FV_FUZZ_SECONDS"]) || 0) / targets.length;
const run: FuzzRun = seconds > 0 ? { seed, seconds } : { seed };
const graceMs = 600_000;
const rows: string[][] = [];
const folder = mkdtempSync(join(tmpdir(), "fv-fuzz-"));

for (const filed of targets) {
  const { target } = filed;
  test(
    target.name,
    async () => {
      const result = await runApart(filed);
      const { runs, decoded, perSecond } = result;
      rows.push([target.name, String(runs), `${perSecond}/s`, `FV_SEED=${seed}`]);
      // Else the property was never looked at.
      expect(decoded).toBeGreaterThan(runs * (target.decodedShareMin ?? 0.01));
    },
    graceMs + Math.ceil(seconds * 1000),
  );
}

afterAll(() => {
  rmSync(folder, { recursive: true });
  if (seconds === 0) return;
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of rows)
    console.log(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "));
});

interface ChildResult extends FuzzResult {
  readonly rssBytes: number;
}

const rssBytesMax = 512 * 1024 * 1024;

async function runApart({ file, target }: FiledTarget): Promise<FuzzResult> {
  const lastInput = join(folder, "last-input");
  const script = new URL("target.child.ts", import.meta.url).pathname;
  const given = [file, target.name, lastInput, String(seed), seconds > 0 ? String(seconds) : ""];
  const child = Bun.spawn([process.execPath, script, ...given], {
    env: childEnv(process.env),
    stdio: ["ignore", "pipe", "pipe"],
    timeout: Math.ceil(graceMs / 2 + seconds * 1000),
    killSignal: "SIGKILL",
  });
  const [said, complaint] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode === 1) throw new Error(complaint);
  if (child.exitCode !== 0) {
    const how = new Error(`ended by ${child.signalCode ?? child.exitCode}: ${complaint}`);
    throw fuzzFailure(target, run, LastInput.read(lastInput), how);
  }
  const result = JSON.parse(said) as ChildResult;
  expect(result.rssBytes).toBeLessThan(rssBytesMax);
  return result;
}
