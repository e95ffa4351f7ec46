import type { Exit } from "../../protocol/session-message.ts";
import type { ProcessEnd } from "../../system/reaper.ts";

/** How a session ended, as its clients are told. */
export function exitOf(end: ProcessEnd, isTimedOut: boolean): Exit {
  if (isTimedOut)
    return { signal: end.kind === "killed" ? end.signal : terminate, timed_out: true };
  if (end.kind === "exited") return { code: end.code };
  return { signal: end.signal, ...(end.outOfMemory === true ? { out_of_memory: true } : {}) };
}

/** What a time limit ends a program with first. */
export const terminate = 15;
