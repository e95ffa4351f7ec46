import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { volumeIds } from "./tenant-summary.ts";

const eventShape = v.looseObject({ status: v.string(), timestamp: v.number() });

/** What a biller wants to know of a machine, in the field names of the first fly-vault-admin. */
export function usageFact(
  machine: FlyMachine,
  volumeSizes: ReadonlyMap<string, number>,
): Record<string, unknown> {
  const config = machine.config ?? machine.incomplete_config;
  return withoutUndefined({
    machine_id: machine.id,
    state: machine.state,
    region: machine.region ?? undefined,
    instance_id: machine.instance_id ?? undefined,
    started_at: lastTime(machine, ["started"]),
    stopped_at: lastTime(machine, ["stopped", "suspended"]),
    deleted_at: lastTime(machine, ["destroyed", "deleted"]),
    created_at: machine.created_at ?? undefined,
    updated_at: machine.updated_at ?? undefined,
    metadata: config?.metadata ?? undefined,
    volumes: volumeIds(machine).map((id) =>
      withoutUndefined({ volume_id: id, size_gib: volumeSizes.get(id) }),
    ),
  });
}

/** By time and not by place in the list: nothing promises an order. */
function lastTime(machine: FlyMachine, statuses: readonly string[]): string | undefined {
  const events = Array.isArray(machine["events"]) ? machine["events"] : [];
  const times = events
    .filter((event) => v.is(eventShape, event))
    .filter((event) => statuses.includes(event.status))
    .map((event) => event.timestamp);
  return times.length === 0 ? undefined : new Date(Math.max(...times)).toISOString();
}

function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
