import type { UsageHistory } from "./usage-history.ts";
import { timeText, usageFact } from "./usage-fact.ts";
import { type UsageInterval, usageIntervals, type Window } from "./usage-interval.ts";
import { shapeOf } from "./usage-shape.ts";
import type { UsageSnapshot } from "./usage-snapshot.ts";
import { usageTimes } from "./usage-times.ts";

/** The facts, what more is known of them, and how long every machine was in which state within a window. */
export function usageDocument(
  snapshot: UsageSnapshot,
  history: UsageHistory,
  about: { readonly app: string; readonly window: Window },
): Record<string, unknown> {
  const { sinceMs, untilMs } = about.window;
  return {
    schema: "fly-vault/usage-facts",
    version: 1,
    data: {
      app: about.app,
      observed_at: timeText(snapshot.observedAtMs),
      since: timeText(sinceMs),
      until: timeText(untilMs),
      facts: snapshot.machines.map((machine) => {
        const times = usageTimes(machine);
        const { volumes: _, region: __, ...shape } = shapeOf(machine, snapshot.volumeSizes);
        return {
          ...usageFact(machine, snapshot.volumeSizes),
          ...shape,
          state_since: timeText(times.sinceMs) ?? null,
          is_estimated: times.isEstimated,
        };
      }),
      intervals: usageIntervals(history.machines(), about.window).map(intervalJson),
    },
  };
}

function intervalJson(interval: UsageInterval): Record<string, unknown> {
  return {
    machine_id: interval.machineId,
    state: interval.state,
    from: timeText(interval.fromMs),
    to: timeText(interval.toMs),
    duration_ms: interval.toMs - interval.fromMs,
    is_ongoing: interval.isOngoing,
    is_estimated: interval.isEstimated,
    ...interval.shape,
  };
}
