import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseProxyMasters } from "../../../src/quic/proxy-master.ts";
import { keyLockMs } from "../../../src/roles/admin/proxy-key-lock.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { tryLock } from "../../../src/system/file-lock.ts";
import { selfCommand } from "../../../src/system/self.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { programEnv } from "../../support/program.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-proxy-key-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

async function run(path: string, command: string): Promise<{ code: number; out: string }> {
  const words = selfCommand("admin", "proxy-key", command, "--key-file", path);
  const child = Bun.spawn(words, { env: programEnv(), stdio: ["ignore", "pipe", "pipe"] });
  const [out, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  return { code, out };
}

test("20 processes that rotate at the same instant: one adds a master, and none is lost", async () => {
  const path = join(folder, "proxy.key");
  await run(path, "new");
  const [first] = parseProxyMasters(readFileSync(path, "utf8"));
  const done = await Promise.all(Array.from({ length: 20 }, async () => run(path, "rotate")));
  const won = done.filter(({ code }) => code === 0);
  expect(done.map(({ code }) => code).toSorted((a, b) => a - b)).toEqual([
    0,
    ...Array<number>(19).fill(7),
  ]);
  const shown = await run(path, "show");
  expect(won.map(({ out }) => out)).toEqual([shown.out]);
  expect(parseProxyMasters(readFileSync(path, "utf8"))[1]).toEqual(first);
}, 120_000);

test("20 at once in one process, which all have read before the first one writes", async () => {
  const path = join(folder, "shared.key");
  await run(path, "new");
  const change = async (): Promise<number> =>
    main(["proxy-key", "rotate", "--key-file", path], memoryContext());
  const codes = await Promise.all(Array.from({ length: 20 }, change));
  expect(codes.toSorted((a, b) => a - b)).toEqual([0, ...Array<number>(19).fill(7)]);
});

test("whoever holds the lock for too long is named, and nothing is changed", async () => {
  const path = join(folder, "held.key");
  await run(path, "new");
  const before = readFileSync(path, "utf8");
  expect(tryLock(openSync(`${path}.lock`, "a", 0o600))).toBe(true);
  let sleptMs = 0;
  const context = {
    ...memoryContext(),
    sleep: async (ms: number): Promise<void> => void (sleptMs += ms),
  };
  expect(await main(["proxy-key", "rotate", "--key-file", path], context)).toBe(7);
  expect(context.err()).toContain(`${path}.lock`);
  expect(sleptMs).toBeGreaterThanOrEqual(keyLockMs);
  expect(readFileSync(path, "utf8")).toBe(before);
});
