import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { programEnv } from "../../support/program.ts";

const child = fileURLToPath(new URL("sandbox.child.ts", import.meta.url));

for (const signal of ["SIGINT", "SIGTERM"] as const)
  test(`after ${signal} nothing of a sandbox is left`, async () => {
    // Told from others by how long it would sleep.
    const seconds = String(10_000 + Math.floor(Math.random() * 1e6));
    const bench = Bun.spawn([process.execPath, child, seconds], {
      env: programEnv(),
      stdout: "pipe",
    });
    try {
      const { value } = await bench.stdout.getReader().read();
      const folder = Buffer.from(value ?? [])
        .toString()
        .trim();
      expect(existsSync(folder)).toBe(true);
      await until(() => sleepers(seconds) === 1);
      // As `timeout` does, and whoever is impatient.
      for (let count = 0; count < 3; count++) {
        bench.kill(signal);
        await Bun.sleep(5);
      }
      expect(await bench.exited).not.toBe(0);
      // The kernel ends the processes of the namespace when its first one has ended, which nobody awaits.
      await until(() => sleepers(seconds) === 0);
      expect(existsSync(folder)).toBe(false);
    } finally {
      bench.kill();
    }
  });

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; look < 1500 && !holds(); look++) await Bun.sleep(20);
  expect(holds()).toBe(true);
}

function sleepers(seconds: string): number {
  return readdirSync("/proc").filter(
    (pid) => /^\d+$/.test(pid) && commandOf(pid) === `sleep\0${seconds}\0`,
  ).length;
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    // It ended while we looked.
    return "";
  }
}
