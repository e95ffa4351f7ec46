import type { ProcessEnd } from "../../system/reaper.ts";

/**
 * What somebody inside asked for by ending PID 1. The kernel turns reboot(2) in a PID namespace into a
 * death of its first process by one of these signals, which otherwise never kill a first process.
 */
export function askedByEnd(end: ProcessEnd): "reboot" | "power-off" | undefined {
  if (end.kind !== "killed") return undefined;
  if (end.signal === hangUp) return "reboot";
  return end.signal === interrupt ? "power-off" : undefined;
}

/** For the end of a sentence. */
export function endWords(end: ProcessEnd): string {
  return end.kind === "exited" ? `exit code ${end.code}` : `signal ${end.signal}`;
}

const hangUp = 1;
const interrupt = 2;
