import * as v from "valibot";
import type { ApiSchemas } from "./api-types.ts";

/**
 * The members of Fly's answers that we rely on. All others are kept as they came: an update must
 * send back a whole configuration, with what Fly has invented since. The compiler holds the names
 * and types against Fly's own description.
 */
type Described<N extends keyof ApiSchemas> = {
  readonly [K in keyof ApiSchemas[N]]?: v.GenericSchema<unknown, Lenient<ApiSchemas[N][K]>>;
};

/** Anything may be null or missing, and words may be others than those described. */
type Lenient<T> =
  | (T extends string
      ? string
      : T extends readonly (infer E)[]
        ? readonly Lenient<E>[]
        : T extends object
          ? { readonly [K in keyof T]?: Lenient<T[K]> }
          : T)
  | null
  | undefined;

const text = v.nullish(v.string());

const mountShape = v.looseObject({
  volume: text,
  path: text,
  name: text,
  size_gb: v.nullish(v.number()),
} satisfies Described<"fly.MachineMount">);

const configShape = v.looseObject({
  image: text,
  env: v.nullish(v.record(v.string(), v.string())),
  metadata: v.nullish(v.record(v.string(), v.string())),
  mounts: v.nullish(v.array(mountShape)),
} satisfies Described<"fly.MachineConfig">);

export const machineShape = v.looseObject({
  id: v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/u)),
  name: text,
  state: v.string(),
  region: text,
  instance_id: text,
  version: text,
  private_ip: text,
  image_ref: v.nullish(
    v.looseObject({ registry: text, repository: text, tag: text, digest: text }),
  ),
  created_at: text,
  updated_at: text,
  config: v.nullish(configShape),
  /** In place of `config` when the machine's host does not answer. */
  incomplete_config: v.nullish(configShape),
  cordoned: v.nullish(v.boolean()),
  host_status: text,
  /** Of the lease that was asked for with the creation. */
  nonce: text,
} satisfies Described<"Machine">);

/** All that a list with `summary` is asked for. */
export const machineSummaryShape = v.looseObject({
  id: machineShape.entries.id,
  state: v.string(),
  private_ip: text,
} satisfies Described<"Machine">);

export const volumeShape = v.looseObject({
  id: v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/u)),
  name: text,
  state: v.string(),
  region: text,
  size_gb: v.nullish(v.number()),
  attached_machine_id: text,
  created_at: text,
} satisfies Described<"Volume">);

export const appShape = v.looseObject({
  organization: v.nullish(v.looseObject({ slug: text })),
} satisfies Described<"App">);

export const execShape = v.looseObject({
  exit_code: v.nullish(v.number(), 0),
  exit_signal: v.nullish(v.number(), 0),
  stdout: v.nullish(v.string(), ""),
  stderr: v.nullish(v.string(), ""),
} satisfies Described<"flydv1.ExecResponse">);

export type ExecResult = v.InferOutput<typeof execShape>;

export const startShape = v.looseObject({ status: text, message: text });

/** A lease's nonce: Fly's answer has it within `data`, Fly's description of the answer at the top. */
export const leaseShape = v.union([
  v.pipe(
    v.object({ data: v.object({ nonce: v.string() }) }),
    v.transform(({ data }) => data.nonce),
  ),
  v.pipe(
    v.object({ nonce: v.string() }),
    v.transform(({ nonce }) => nonce),
  ),
]);

const heldLease = v.looseObject({ nonce: text, description: text });

/** A lease as others see it; the nonce is told to its owner alone. */
export const heldLeaseShape = v.union([
  v.pipe(
    v.object({ data: heldLease }),
    v.transform(({ data }) => data),
  ),
  heldLease,
]);

export type HeldLease = v.InferOutput<typeof heldLease>;
export type FlyMachine = v.InferOutput<typeof machineShape>;
export type MachineSummary = v.InferOutput<typeof machineSummaryShape>;
export type FlyVolume = v.InferOutput<typeof volumeShape>;

/** A part of a list, or all of it. */
export interface MachinePage {
  readonly machines: readonly MachineSummary[];
  /** Rows without an id or a state: not all machines are there. */
  readonly unreadable: number;
}

/** False where the machine tells of its metadata, and they are others. */
export function mayHaveMetadata(
  { config, incomplete_config: incomplete }: FlyMachine,
  wanted: Readonly<Record<string, string>>,
): boolean {
  const metadata = (config ?? incomplete)?.metadata ?? (config ? {} : undefined);
  if (metadata === undefined) return true;
  return Object.entries(wanted).every(([key, value]) => metadata[key] === value);
}

/** Volumes linger in lists for a day after they were destroyed. */
export function isVolumeGone(volume: FlyVolume): boolean {
  return [
    "scheduling_destroy",
    "fork_cleanup",
    "waiting_for_detach",
    "pending_destroy",
    "destroying",
    "destroyed",
  ].includes(volume.state);
}

export function isMachineGone(machine: FlyMachine): boolean {
  return ["destroyed", "destroying", "replaced", "migrated"].includes(machine.state);
}

/**
 * Whether it runs or is on its way there. What is known of no state, a failed launch or a word that
 * Fly has invented since, does not: an update is not what starts it.
 */
export function isMachineRunning({ state }: { readonly state: string }): boolean {
  return ["started", "starting", "restarting", "replacing", "updating"].includes(state);
}
