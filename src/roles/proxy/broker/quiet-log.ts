import type { Log, LogFields, LogLevel } from "../../../system/log.ts";
import { brokerLimits } from "./broker-limits.ts";

/** At most one line a second of each event; the next one says how many were left out. */
export function quietLog(log: Log, monotonicMs: () => number): Log {
  const causes = new Map<string, { lastMs: number; leftOut: number }>();
  return (level: LogLevel, event: string, fields: LogFields = {}) => {
    const nowMs = monotonicMs();
    const cause = causes.get(event);
    if (cause !== undefined && nowMs - cause.lastMs < brokerLimits.logLinePauseMs) {
      cause.leftOut += 1;
      return;
    }
    const leftOut = cause?.leftOut ?? 0;
    causes.set(event, { lastMs: nowMs, leftOut: 0 });
    log(level, event, leftOut === 0 ? fields : { ...fields, left_out: leftOut });
  };
}
