import { randomBytes } from "node:crypto";
import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import type { Fleet } from "./fleet.ts";
import { localLimits } from "./limits.ts";
import type { Machine } from "./machine.ts";
import { param, parseBody, queryInteger } from "./request-input.ts";
import type { MachineRecord } from "./record.ts";
import { type Answer, type ApiCall, type Route, route } from "./router.ts";

const lease = "/v1/apps/{app}/machines/{id}/lease";
const nonceHeader = "fly-machine-lease-nonce";

export const leaseSeconds = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(1),
  v.maxValue(localLimits.leaseSecondsMax),
);

const leaseRequest = v.looseObject({
  ttl: v.optional(leaseSeconds),
  description: v.optional(v.string()),
});

/** Leases keep two administrators from changing one machine at once. */
export function leaseRoutes(fleet: Fleet): Route[] {
  return [
    route("GET", lease, "action", (call) => {
      const subject = namedMachine(fleet, call);
      if (liveLease(subject) === undefined) throw new ApiError(404, "lease not found");
      return leaseAnswer(200, subject.record);
    }),
    route("POST", lease, "action", (call) => {
      const subject = namedMachine(fleet, call);
      requireLease(subject, call.headers);
      const asked = parseBody(leaseRequest, call.body);
      const range = { min: 1, max: localLimits.leaseSecondsMax };
      // The query is how Fly's own client says it.
      const ttl = asked.ttl ?? queryInteger(call, "ttl", range) ?? localLimits.leaseSeconds;
      takeLease(subject, ttl, asked.description);
      return leaseAnswer(201, subject.record);
    }),
    route("DELETE", lease, "action", (call) => {
      const subject = namedMachine(fleet, call);
      requireLease(subject, call.headers);
      delete subject.record.lease;
      subject.touch();
      return { status: 200, json: { ok: true } };
    }),
  ];
}

/** Takes or renews the lease; the caller has seen to it that nobody else holds it. */
export function takeLease(machine: Machine, seconds: number, description = ""): string {
  const nonce = liveLease(machine)?.nonce ?? randomBytes(8).toString("hex");
  machine.record.lease = {
    nonce,
    owner: "local@tokens.fly.io",
    description,
    expiresAtMs: machine.nowMs + seconds * 1_000,
  };
  machine.touch();
  return nonce;
}

export function namedMachine(fleet: Fleet, call: ApiCall): Machine {
  const machine = fleet.machine(param(call, "app"), param(call, "id"));
  // For who has not heard of it yet it does not exist, whatever the call.
  fleet.seenMachine(machine, { instance: call.reader.instance, agoMs: 0 });
  return machine;
}

/** For everything that changes a machine: whoever holds its lease decides. */
export function heldMachine(fleet: Fleet, call: ApiCall): Machine {
  const machine = namedMachine(fleet, call);
  requireLease(machine, call.headers);
  return machine;
}

/** 409 when somebody else holds the machine. */
function requireLease(machine: Machine, headers: Headers): void {
  const held = liveLease(machine);
  if (held === undefined || headers.get(nonceHeader) === held.nonce) return;
  const until = new Date(held.expiresAtMs).toISOString();
  throw new ApiError(409, `lease currently held by ${held.owner}, expires at ${until}`, "lease");
}

function liveLease({ record, nowMs }: Machine): MachineRecord["lease"] {
  return record.lease !== undefined && record.lease.expiresAtMs > nowMs ? record.lease : undefined;
}

/** The shape flyctl reads, which has the members of the published one inside and beside it. */
function leaseAnswer(status: number, record: MachineRecord): Answer {
  const data = {
    nonce: record.lease?.nonce,
    owner: record.lease?.owner,
    description: record.lease?.description,
    expires_at: Math.floor((record.lease?.expiresAtMs ?? 0) / 1_000),
    version: record.version,
  };
  return { status, json: { status: "success", data, ...data } };
}
