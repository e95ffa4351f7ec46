import type { ProcessEnd } from "../../system/reaper.ts";

/**
 * The workload called reboot(2): for that the kernel ends PID 1 of a namespace as if by SIGHUP (restart)
 * or SIGINT (halt, power off). Sent as signals these two do not end a PID 1: it ignores or handles them.
 */
export function isReboot(end: ProcessEnd): boolean {
  return end.kind === "killed" && (end.signal === hangup || end.signal === interrupt);
}

export function endWords(end: ProcessEnd): string {
  return end.kind === "exited" ? `exit code ${end.code}` : `signal ${end.signal}`;
}

const hangup = 1;
const interrupt = 2;
