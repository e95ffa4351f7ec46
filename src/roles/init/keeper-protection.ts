import { writeFileSync } from "node:fs";
import type { Log } from "../../system/log.ts";
import { dropFromBoundingSet, forbidInspection } from "../../system/process.ts";

/** The keeper outlives what runs in the workload, and its own mistakes. Before anything else is started. */
export function protectKeeper(log: Log): void {
  forbidInspection();
  protectFromWorkload(log);
  surviveMistakes(log);
}

/**
 * Root inside the workload is root for the kernel. Without these it cannot look into our memory (a
 * new session shares it for the moment before its program runs), load code into the kernel, reach
 * around it to the hardware, or open files of a disk by their numbers, past its own root. A debugger
 * on one's own programs needs none of them, and permissions are overridden by another one.
 */
function protectFromWorkload(log: Log): void {
  const { dacReadSearch, sysModule, sysPtrace, sysRawio } = capability;
  const forbidden = [dacReadSearch, sysModule, sysPtrace, sysRawio];
  attempt("capabilities", log, () => dropFromBoundingSet(forbidden));
  // The workload's processes are set back to 0 as they start: they go first.
  attempt("out-of-memory score", log, () => writeFileSync("/proc/self/oom_score_adj", "-900"));
}

/** When memory runs out the kernel ends this child rather than us, from whom it inherited protection. */
export function makeExpendable(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "0");
  } catch {
    // It has ended already, or we were not protected ourselves.
  }
}

function attempt(what: string, log: Log, protect: () => void): void {
  try {
    protect();
  } catch (error) {
    log("warn", "less-protected", { what, message: String(error) });
  }
}

const capability = { dacReadSearch: 2, sysModule: 16, sysRawio: 17, sysPtrace: 19 } as const;

/** A mistake in one callback must not end all shells. It is logged with its stack. */
function surviveMistakes(log: Log): void {
  const report = (error: unknown): void => {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log("error", "mistake", { detail });
  };
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
}
