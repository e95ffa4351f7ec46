import { readdirSync, readFileSync, statSync } from "node:fs";
import type { Log } from "../../system/log.ts";
import { signalProcess } from "../../system/process.ts";
import { initLimits } from "./limits.ts";
import { dataLayout } from "./provision/data-layout.ts";

/**
 * Ends the workload of a keeper that was killed. The kernel does so by itself unless PID 1 asked it
 * not to, or changed its user. For the holder of the volume's lock: nobody else may have one there.
 */
export async function endLeftovers(dataDir: string, log: Log): Promise<void> {
  const { rootfs, previous } = dataLayout(dataDir);
  const trees = new Set([rootfs, previous].map(identityOf).filter((tree) => tree !== undefined));
  const deadlineMs = performance.now() + initLimits.killWaitMs;
  for (;;) {
    const leftovers = firstProcesses().filter((pid) =>
      trees.has(identityOf(`/proc/${pid}/root/`) ?? ""),
    );
    if (leftovers.length === 0) return;
    for (const pid of leftovers) {
      log("warn", "leftover-killed", { pid });
      signalProcess(pid, 9);
    }
    if (performance.now() > deadlineMs) return log("error", "leftover-does-not-end");
    await Bun.sleep(lookEveryMs);
  }
}

/** Those that are number 1 in a PID namespace below ours. */
function firstProcesses(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && /^NSpid:\t\d+\t(\d+\t)*1$/m.test(statusOf(name)))
    .map(Number);
}

function statusOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

const lookEveryMs = 50;
