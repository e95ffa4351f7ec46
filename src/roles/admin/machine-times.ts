import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";

const eventShape = v.looseObject({ status: v.string(), timestamp: v.number() });

/** When one of these last happened, RFC 3339. By time and not by place: nothing promises an order. */
export function lastTimeOf(machine: FlyMachine, statuses: readonly string[]): string | undefined {
  const events: readonly unknown[] = Array.isArray(machine["events"]) ? machine["events"] : [];
  const times = events
    .filter((event) => v.is(eventShape, event))
    .filter((event) => statuses.includes(event.status))
    .map((event) => event.timestamp);
  return times.length === 0 ? undefined : new Date(Math.max(...times)).toISOString();
}
