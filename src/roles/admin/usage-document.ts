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
  about: {
    readonly app: string;
    readonly window: Window;
    /** Only this one was asked for, and nothing new is known of the others that the journal has. */
    readonly tenant: string | undefined;
  },
): Record<string, unknown> {
  const { tenant, window } = about;
  const { sinceMs, untilMs } = window;
  const intervals = usageIntervals(history.machines(), window).filter(
    ({ shape }) => tenant === undefined || shape.tenant_id === tenant,
  );
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
      intervals: intervals.map(intervalJson),
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
