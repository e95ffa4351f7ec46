import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { tenantOf } from "./tenant-id.ts";
import { timeMs } from "./usage-times.ts";

/** What is known to be wrong with a machine, one phrase each; none when nothing is. Pure. */
export function machineTroubles(machine: FlyMachine, nowMs: number): string[] {
  const troubles = [
    stateTrouble(machine, nowMs),
    hostTrouble(machine),
    checkTrouble(machine),
    exitTrouble(machine, nowMs),
    machine.cordoned === true ? "is cordoned: nothing is sent to it" : undefined,
    leaseTrouble(machine, nowMs),
    tokenTrouble(machine),
  ];
  return troubles.filter((trouble) => trouble !== undefined);
}

/** `machine a1 (acme) has failed` */
export function troubleLine(machine: FlyMachine, trouble: string): string {
  return `machine ${machine.id} (${tenantOf(machine) || "no tenant"}) ${trouble}`;
}

/** Fly's own figures for how long a passing state may last. */
function stateTrouble(
  { state, updated_at: updatedAt }: FlyMachine,
  nowMs: number,
): string | undefined {
  if (state === "failed" || state === "launch_failed") return "has failed";
  const limitMs = passingMs.get(state);
  const sinceMs = timeMs(updatedAt);
  if (limitMs === undefined || sinceMs === undefined || nowMs - sinceMs < limitMs) return undefined;
  return `has been ${state} for ${Math.round((nowMs - sinceMs) / 60_000)} minutes`;
}

function hostTrouble({ host_status: host }: FlyMachine): string | undefined {
  if (host === undefined || host === null || host === "ok") return undefined;
  return `is on a host whose state is ${host}`;
}

function checkTrouble(machine: FlyMachine): string | undefined {
  const checks = Array.isArray(machine["checks"]) ? machine["checks"] : [];
  const failing = checks.filter((check) => v.is(checkShape, check) && check.status === "critical");
  if (failing.length === 0) return undefined;
  return `fails ${failing.length} of ${checks.length} health checks`;
}

/** Stops that nobody asked for. */
function exitTrouble(machine: FlyMachine, nowMs: number): string | undefined {
  const events = Array.isArray(machine["events"]) ? machine["events"] : [];
  const exits = events
    .filter((event) => v.is(exitShape, event))
    .filter(({ timestamp }) => nowMs - timestamp < exitsWithinMs)
    .map(({ request }) => request.exit_event)
    .filter((exit) => exit.requested_stop !== true);
  if (exits.some((exit) => exit.oom_killed === true))
    return "ran out of memory within the last hour";
  return exits.length >= exitsMax ? `ended by itself ${exits.length} times in an hour` : undefined;
}

function leaseTrouble(machine: FlyMachine, nowMs: number): string | undefined {
  const lease = v.is(leaseShape, machine["lease"]) ? machine["lease"] : undefined;
  const leftMs = (lease?.expires_at ?? 0) * 1_000 - nowMs;
  if (leftMs <= 0) return undefined;
  const whose = lease?.description ? `: ${lease.description}` : "";
  return `is under a lease for another ${Math.ceil(leftMs / 1_000)} s${whose}`;
}

function tokenTrouble(machine: FlyMachine): string | undefined {
  const env = machine.config?.env;
  if (machine.config === undefined || machine.config === null) return undefined;
  return (env?.["ACCESS_TOKEN"] ?? "") === ""
    ? "has no ACCESS_TOKEN, so it lets nobody in"
    : undefined;
}

const minuteMs = 60_000;
const passingMs: ReadonlyMap<string, number> = new Map([
  ["creating", 5 * minuteMs],
  ["starting", 5 * minuteMs],
  ["stopping", 5 * minuteMs],
  ["restarting", 5 * minuteMs],
  ["suspending", 5 * minuteMs],
  ["destroying", 5 * minuteMs],
  ["updating", 10 * minuteMs],
  ["replacing", 10 * minuteMs],
]);
const exitsWithinMs = 60 * minuteMs;
const exitsMax = 3;

const checkShape = v.looseObject({ status: v.string() });
const leaseShape = v.looseObject({ expires_at: v.number(), description: v.nullish(v.string()) });
const exitShape = v.looseObject({
  timestamp: v.number(),
  request: v.looseObject({
    exit_event: v.looseObject({
      oom_killed: v.nullish(v.boolean()),
      requested_stop: v.nullish(v.boolean()),
    }),
  }),
});
