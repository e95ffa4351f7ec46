import * as v from "valibot";
import { rolloutLimits } from "./rollout-limits.ts";

/**
 * What the journal of a rollout has, one JSON object a line. The first line is the plan; every other
 * one is written, and on the disk, before the call that it announces. What the lines say together is
 * what `RolloutState` makes of them.
 */
const text = v.pipe(v.string(), v.maxLength(2_048));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const id = v.pipe(v.string(), v.regex(/^[\w-]{1,64}$/u));

const target = v.strictObject({ id, tenant: text, region: text });

export const planRecord = v.strictObject({
  type: v.literal("plan"),
  version: v.literal(1),
  /** `r-20261123-1`. */
  id: text,
  /** Tells its leases from those of another computer's rollout, which may have the same id. */
  mark: text,
  app: text,
  apiBase: text,
  /** With its digest. */
  image: text,
  /** RFC 3339. */
  startedAt: text,
  options: v.strictObject({
    concurrency: count,
    /** The first so many of `machines`, one after the other. */
    canary: count,
    unavailableMax: count,
    soakMs: count,
    startMs: count,
    healthMs: count,
    /** How long open sessions of a machine are waited for before its update. */
    drainMs: v.optional(count, 0),
    leaseSeconds: count,
    handshake: v.boolean(),
  }),
  /** In the order of the work. */
  machines: v.pipe(v.array(target), v.maxLength(rolloutLimits.machinesMax)),
  /** How many had the image already. */
  skipped: count,
  /** Left out: their hosts did not answer. */
  silent: v.pipe(v.array(id), v.maxLength(rolloutLimits.machinesMax)),
});

const onMachine = { machine: id };

export const stepRecord = v.variant("type", [
  /** A lease is about to be taken. */
  v.strictObject({ type: v.literal("lease"), ...onMachine }),
  /** It was; the nonce lets us change the machine. */
  v.strictObject({ type: v.literal("leased"), ...onMachine, nonce: text }),
  /** As it was found under the lease. `cordon`: we are about to cordon it, and will take that back. */
  v.strictObject({
    type: v.literal("begin"),
    ...onMachine,
    image: text,
    /** The same with its digest: what a rollback goes to. */
    pinned: text,
    runs: v.boolean(),
    cordon: v.boolean(),
  }),
  v.strictObject({ type: v.literal("update"), ...onMachine, to: v.picklist(["new", "old"]) }),
  v.strictObject({ type: v.literal("launch"), ...onMachine }),
  v.strictObject({ type: v.literal("uncordon"), ...onMachine }),
  v.strictObject({ type: v.literal("release"), ...onMachine }),
  /** Nothing of ours is left on it. */
  v.strictObject({
    type: v.literal("end"),
    ...onMachine,
    outcome: v.picklist([
      "updated",
      "stopped",
      "skipped",
      "gone",
      "rolled-back",
      "untouched",
      "foreign",
      "failed",
    ]),
    reason: v.optional(text),
  }),
  /** From here on back to the old image. */
  v.strictObject({ type: v.literal("turn"), ...onMachine, reason: text }),
  v.strictObject({ type: v.literal("resume"), at: text }),
  v.strictObject({ type: v.literal("finish") }),
]);

export type PlanRecord = v.InferOutput<typeof planRecord>;
export type StepRecord = v.InferOutput<typeof stepRecord>;
export type RolloutTarget = PlanRecord["machines"][number];
/**
 * How it ended for one machine. `stopped`: updated without being started. `untouched`: given back as
 * it was found. `foreign`: somebody else gave it a third image meanwhile. `failed`: not as wanted.
 */
export type Outcome = Extract<StepRecord, { type: "end" }>["outcome"];

export function encodeRecord(record: PlanRecord | StepRecord): string {
  return `${JSON.stringify(record)}\n`;
}

export interface JournalText {
  readonly plan: PlanRecord;
  readonly steps: readonly StepRecord[];
  /** Length of what counts: a last line that was cut off does not. */
  readonly bytes: number;
}

/** The journal's lines are not what `encodeRecord` writes. */
export class JournalDamaged extends Error {
  override readonly name = "JournalDamaged";
}

/** Reads a whole journal; whatever the last write left of its line is no record. */
export function decodeJournal(bytes: Uint8Array): JournalText {
  const end = bytes.lastIndexOf(newline) + 1;
  const lines = new TextDecoder().decode(bytes.subarray(0, end)).split("\n").slice(0, -1);
  const [first, ...rest] = lines;
  if (first === undefined) throw new JournalDamaged("there is no whole line in it");
  const plan = parseLine(planRecord, first, 1);
  const steps = rest.map((line, at) => parseLine(stepRecord, line, at + 2));
  return { plan, steps, bytes: end };
}

function parseLine<S extends v.GenericSchema>(
  schema: S,
  line: string,
  number: number,
): v.InferOutput<S> {
  const result = v.safeParse(schema, parseJson(line));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new JournalDamaged(`line ${number}: ${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
}

function parseJson(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line);
    return value;
  } catch {
    return undefined;
  }
}

const newline = 0x0a;
