import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { programEnv } from "../../support/program.ts";
import { type FleetStage, images, leftovers, openFleetStage } from "./fleet-stage.ts";

const mainPath = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));
let closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing) await close();
  closing = [];
});

/** A real fly-vault-admin that cannot make a file longer than so many KiB: for it the disk is full. */
async function withLittleRoom(
  kib: number,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ exitCode: number; err: string }> {
  const script = `trap "" XFSZ; ulimit -f ${kib}; exec "$@"`;
  const child = Bun.spawn(
    ["bash", "-c", script, "-", process.execPath, mainPath, "admin", ...words],
    { env: programEnv(env), stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 50_000 },
  );
  const err = await new Response(child.stderr).text();
  return { exitCode: await child.exited, err };
}

test("a rollout whose journal is full ends before the next change, and is resumed when there is room", async () => {
  const on: FleetStage = await openFleetStage();
  closing.push(async () => on.close());
  await on.createTenants(8);
  const words = ["tenant", "update-image", "--image", images.new, "--all-tenants"];
  const full = await withLittleRoom(4, [...words, "--soak-secs", "0"], on.env);
  expect([full.err, full.exitCode]).toEqual([
    expect.stringMatching(
      /the journal .*r-\d{8}-1\.jsonl cannot be written[^]*make room[^]*--resume r-\d{8}-1\n/u,
    ),
    1,
  ]);
  const done = await on.admin("--resume", on.journals()[0] ?? "");
  expect([done.err, done.exitCode]).toEqual([done.err, 0]);
  const machines = await on.machines();
  expect(machines.map(({ config }) => config.image)).toEqual(machines.map(() => images.new));
  expect(leftovers(machines)).toEqual([]);
}, 120_000);

test("a key file that cannot be written anew stays as it was, with nothing beside it", async () => {
  const dir = mkdtempSync(join(tmpdir(), "fvk-"));
  closing.push(() => rmSync(dir, { recursive: true, force: true }));
  const path = join(dir, "proxy.key");
  const env = { FLY_VAULT_HOME: dir };
  const made = await withLittleRoom(1, ["proxy-key", "new", "--key-file", path], env);
  expect([made.err, made.exitCode]).toEqual([made.err, 0]);
  const before = readFileSync(path, "utf8");
  const full = await withLittleRoom(0, ["proxy-key", "rotate", "--key-file", path], env);
  expect([full.err, full.exitCode]).toEqual([expect.stringContaining("cannot be used"), 2]);
  expect(readFileSync(path, "utf8")).toBe(before);
  expect(readdirSync(dir).toSorted()).toEqual(["proxy.key", "proxy.key.lock"]);
}, 120_000);
