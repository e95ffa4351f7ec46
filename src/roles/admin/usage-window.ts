import { parseDuration } from "../../cli/duration.ts";
import type { Window } from "./usage-interval.ts";

/** The words name no time, or no window. */
export class WindowError extends Error {
  override readonly name = "WindowError";
}

/**
 * `since` and `until` as RFC 3339 times, or as so long ago (`24h`, `-24h`). The end is at most `observedAtMs`,
 * for nothing is known beyond it. Throws `WindowError`.
 */
export function parseWindow(
  since: string,
  until: string | undefined,
  observedAtMs: number,
): Window {
  const sinceMs = momentOf(since, "since", observedAtMs);
  const endMs = until === undefined ? observedAtMs : momentOf(until, "until", observedAtMs);
  const untilMs = Math.min(endMs, observedAtMs);
  if (sinceMs < untilMs) return { sinceMs, untilMs };
  throw new WindowError("since must be before until, and not in the future");
}

function momentOf(text: string, name: string, nowMs: number): number {
  const agoMs = parseDuration(text.replace(/^-/u, ""));
  if (agoMs !== undefined) return nowMs - agoMs;
  const ms = rfc3339.test(text) && isDay(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new WindowError(
    `${name} takes a time such as 2026-11-01T00:00:00Z, or how long ago, such as 24h`,
  );
}

/** JavaScript takes February 30th for a day in March. */
function isDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split("-").map(Number);
  return day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/u;
