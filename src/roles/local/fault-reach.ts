import { randomBytes } from "node:crypto";
import * as v from "valibot";
import type { FaultReach } from "./fault-answer.ts";
import type { Fleet } from "./fleet.ts";
import { localLimits } from "./limits.ts";
import type { Machine } from "./machine.ts";
import { nextCursor } from "./paging.ts";
import type { ApiCall, Match } from "./router.ts";

/** By id and by name; of a machine that is only being made, the name that is asked for. */
export function machineNames(fleet: Fleet, { params }: Match, body: unknown): string[] {
  const known = machineOf(fleet, params);
  const named = v.is(v.looseObject({ name: v.string() }), body) ? [body.name] : [];
  return [params["id"] ?? [], known?.record.name ?? named].flat();
}

/** What the faults of one call may do to this fleet. */
export function faultReach(fleet: Fleet, match: Match, call: ApiCall): FaultReach {
  const machine = machineOf(fleet, call.params);
  return {
    carryOut: async (agoMs = 0) =>
      match.route.handle({ ...call, reader: { ...call.reader, agoMs } }),
    sleep: async (ms) => Bun.sleep(ms),
    loseLease: (stolen) => {
      if (machine === undefined) return;
      delete machine.record.lease;
      if (stolen) machine.record.lease = strangersLease(fleet.nowMs);
      machine.touch();
    },
    vanish: async () => {
      if (machine !== undefined) await fleet.destroyMachine(machine, true);
    },
    cursorAfter: (row) => nextCursor(call.query.get("cursor"), placeOf(row), fleet.nowMs),
  };
}

function machineOf(fleet: Fleet, params: ApiCall["params"]): Machine | undefined {
  return fleet.machines.find(
    ({ record }) => record.id === params["id"] && record.app === params["app"],
  );
}

function strangersLease(nowMs: number): NonNullable<Machine["record"]["lease"]> {
  return {
    nonce: randomBytes(8).toString("hex"),
    owner: "somebody-else@tokens.fly.io",
    description: "taken by a fault script",
    expiresAtMs: nowMs + localLimits.strangersLeaseMs,
  };
}

function placeOf(row: unknown): { id: string; createdAtMs: number } | undefined {
  const shape = v.looseObject({ id: v.string(), created_at: v.string() });
  return v.is(shape, row) ? { id: row.id, createdAtMs: Date.parse(row.created_at) } : undefined;
}
