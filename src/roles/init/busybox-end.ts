import { basename } from "node:path";
import type { Log } from "../../system/log.ts";
import { linkOf, namesIn, textOf } from "../../system/proc-files.ts";
import { signalProcess } from "../../system/process.ts";
import { initLimits } from "./limits.ts";
import { ancestry } from "./ports/guest-process-tree.ts";
import type { WorkloadProcess } from "./workload-process.ts";

/** Ends an init of BusyBox that was asked to stop, as soon as it only sleeps. Its two seconds are nobody's then. */
export function endWhenAlone(
  { pid, ended }: Pick<WorkloadProcess, "pid" | "ended">,
  log: Log,
): void {
  let wasAlone = false;
  const looks = setInterval(() => {
    const isNow = sleepsAlone(pid);
    // Twice in a row: a walk through all processes may miss one that is made meanwhile.
    if (isNow && wasAlone) {
      clearInterval(looks);
      log("info", "workload sleeps alone");
      signalProcess(pid, 9);
    }
    wasAlone = isNow;
  }, initLimits.lonelyLookMs);
  void ended.then(() => clearInterval(looks));
}

/**
 * Whether an init of BusyBox that was asked to stop has nothing left to do but sleep. It runs what its
 * inittab has for the shutdown and waits for that, sends SIGTERM to all others, sleeps for a second, kills
 * those that are left, and sleeps for another one; for whom, where nobody is left? True only if the kernel
 * says all of it: the program is BusyBox, hears no signal any more (which in its life it always does), is in a
 * sleep (which it begins after the shutdown's commands), and nobody else lives in its PID namespace or below.
 *
 * Nothing is read of its memory, and of other processes only what the kernel itself knows.
 */
export function sleepsAlone(pid: number): boolean {
  return basename(linkOf(`/proc/${pid}/exe`)) === "busybox" && isDeaf(pid) && isAlone(pid);
}

/** And makes no process any more. */
function isDeaf(pid: number): boolean {
  const status = textOf(`/proc/${pid}/status`);
  const none = /^0+$/;
  if (!none.test(field(status, "SigCgt")) || !none.test(field(status, "SigBlk"))) return false;
  if (field(status, "Threads") !== "1") return false;
  const [call] = textOf(`/proc/${pid}/syscall`).split(" ", 1);
  return sleeps.includes(Number(call));
}

/** Of those below, the first one's parent is one of its own, or itself where that has ended. */
function isAlone(pid: number): boolean {
  const namespace = linkOf(`/proc/${pid}/ns/pid`);
  const isInside = (other: number): boolean => linkOf(`/proc/${other}/ns/pid`) === namespace;
  const depth = depthOf(textOf(`/proc/${pid}/status`));
  if (namespace === "" || depth < 2) return false;
  const statuses = namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => [Number(name), textOf(`/proc/${name}/status`)] as const);
  const tree = new Map(statuses.map(([other, status]) => [other, Number(field(status, "PPid"))]));
  return statuses.every(
    ([other, status]) =>
      other === pid ||
      depthOf(status) < depth ||
      isGone(status) ||
      !ancestry(tree, other).some(isInside),
  );
}

/** How many PID namespaces it has a number in, from ours down. */
function depthOf(status: string): number {
  return field(status, "NSpid").split("\t").length;
}

/** Ended, and nobody has asked how: an init that sleeps does not. Its threads might live longer than the first one. */
function isGone(status: string): boolean {
  return (
    status === "" || (/^[ZX]/.test(field(status, "State")) && field(status, "Threads") === "1")
  );
}

function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\t(.*)$`, "m").exec(status)?.[1] ?? "";
}

/** nanosleep and clock_nanosleep. */
const sleeps: readonly number[] = process.arch === "arm64" ? [101, 115] : [35, 230];
