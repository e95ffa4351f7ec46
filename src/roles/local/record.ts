import * as v from "valibot";

/** What fly-local remembers, as it stands in `state.json`. Times are milliseconds since 1970. */
const eventRecord = v.strictObject({
  id: v.string(),
  type: v.string(),
  status: v.string(),
  source: v.picklist(["user", "flyd"]),
  timestamp: v.number(),
  request: v.optional(v.record(v.string(), v.unknown())),
});

const leaseRecord = v.strictObject({
  nonce: v.string(),
  owner: v.string(),
  description: v.string(),
  expiresAtMs: v.number(),
});

const processIdentity = v.strictObject({ pid: v.number(), startTicks: v.string() });

export const machineStates = [
  "created",
  "starting",
  "started",
  "stopping",
  "stopped",
  "suspending",
  "suspended",
  "restarting",
  "replacing",
  "failed",
  "destroying",
  "destroyed",
] as const;

const machineRecord = v.strictObject({
  id: v.string(),
  app: v.string(),
  name: v.string(),
  region: v.string(),
  state: v.picklist(machineStates),
  /** `version` and `instance_id` of the API: new at every update. */
  version: v.string(),
  address: v.string(),
  config: v.record(v.string(), v.unknown()),
  createdAtMs: v.number(),
  updatedAtMs: v.number(),
  cordoned: v.boolean(),
  /** Newest first. */
  events: v.array(eventRecord),
  /** Newest first; absent for a machine that was never updated. */
  versions: v.optional(
    v.array(v.strictObject({ version: v.string(), config: v.record(v.string(), v.unknown()) })),
  ),
  lease: v.optional(leaseRecord),
  process: v.optional(processIdentity),
  /** While it is suspended: the processes to wake. */
  frozen: v.optional(v.array(processIdentity)),
  restarts: v.number(),
  /** It ran when fly-local was stopped in order, so the next `serve` starts it again. */
  resume: v.boolean(),
});

const volumeRecord = v.strictObject({
  id: v.string(),
  app: v.string(),
  name: v.string(),
  region: v.string(),
  state: v.picklist(["created", "pending_destroy"]),
  sizeGb: v.number(),
  encrypted: v.boolean(),
  snapshotRetention: v.number(),
  autoBackup: v.optional(v.boolean()),
  machineId: v.optional(v.string()),
  createdAtMs: v.number(),
  updatedAtMs: v.optional(v.number()),
  destroyedAtMs: v.optional(v.number()),
});

const appRecord = v.strictObject({
  name: v.string(),
  id: v.number(),
  network: v.string(),
  createdAtMs: v.number(),
});

export const stateRecord = v.strictObject({
  version: v.literal(1),
  org: v.strictObject({ slug: v.string(), id: v.number() }),
  /** The address of the last run, tried first by the next one: the issuer's URL holds it. */
  port: v.optional(v.number()),
  apps: v.array(appRecord),
  machines: v.array(machineRecord),
  volumes: v.array(volumeRecord),
});

export type EventRecord = v.InferOutput<typeof eventRecord>;
export type MachineRecord = v.InferOutput<typeof machineRecord>;
export type MachineState = MachineRecord["state"];
export type VolumeRecord = v.InferOutput<typeof volumeRecord>;
export type AppRecord = v.InferOutput<typeof appRecord>;
export type StateRecord = v.InferOutput<typeof stateRecord>;
