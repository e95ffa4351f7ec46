import * as v from "valibot";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";
import { evidencePath, type Route } from "./router.ts";

/** Whether the call is carried out all the same, and only its answer is lost or wrong. */
const when = v.optional(v.picklist(["before", "after"]), "before");
const status = v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599));
const milliseconds = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(0),
  v.maxValue(localLimits.faultMsMax),
);
const count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(localLimits.faultCountMax));
const bytes = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(localLimits.faultBytesMax));

const action = v.variant("kind", [
  /** This status and body in place of the real answer. A body that is no text goes out as JSON. */
  v.strictObject({
    kind: v.literal("answer"),
    status,
    body: v.optional(v.unknown()),
    headers: v.optional(v.record(v.string(), v.string())),
    when,
  }),
  /** A page of a proxy on the way. */
  v.strictObject({ kind: v.literal("html"), status: v.optional(status, 502), when }),
  /** 429; without `retryAfter` (seconds) there is no such header, as Fly mostly does. */
  v.strictObject({
    kind: v.literal("throttle"),
    retryAfter: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(86_400))),
  }),
  /** No room, in Fly's words for this status. */
  v.strictObject({
    kind: v.literal("capacity"),
    status: v.optional(v.picklist([409, 412, 422]), 422),
  }),
  /** The connection ends without an answer. Bun's own fetch then asks again, once, if the call was GET or DELETE. */
  v.strictObject({ kind: v.literal("drop"), when }),
  /** No answer ever; the connection stays until the client ends it. */
  v.strictObject({ kind: v.literal("hang"), when }),
  /** Carried out and answered, that much later. */
  v.strictObject({ kind: v.literal("delay"), ms: milliseconds, when }),
  /** The answer's head and so many bytes of its body, then the connection ends. */
  v.strictObject({ kind: v.literal("cut"), bytes }),
  /** The body byte by byte. */
  v.strictObject({ kind: v.literal("trickle"), everyMs: milliseconds }),
  /** So many blanks after the body. */
  v.strictObject({ kind: v.literal("pad"), bytes }),
  /** Members of the answer, or of each of its rows, are replaced: unknown states, nulls, wrong types. */
  v.strictObject({ kind: v.literal("patch"), members: v.record(v.string(), v.unknown()) }),
  /**
   * A list with its first `keep` rows only. `short`: the cursor leads to the others. `lost`: there
   * is no cursor. `repeat`: the cursor leads back to this page. For a list of the organisation,
   * `errorRegions` are told.
   */
  v.strictObject({
    kind: v.literal("partial-list"),
    keep: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(localLimits.pageMax)),
    cursor: v.optional(v.picklist(["short", "lost", "repeat"]), "lost"),
    errorRegions: v.optional(v.array(v.string())),
  }),
  /** A list, or one machine or volume, as it was known that long ago. */
  v.strictObject({ kind: v.literal("stale"), ms: milliseconds }),
  /** The machine's lease runs out just before the call; `stolen`: and somebody else takes it. */
  v.strictObject({ kind: v.literal("lose-lease"), stolen: v.optional(v.boolean(), false) }),
  /** The machine is destroyed just before the call, by somebody else. */
  v.strictObject({ kind: v.literal("vanish") }),
]);

const fault = v.strictObject({
  /** Method and route, as in `POST /v1/apps/{app}/machines`; `*`: every call of the API. */
  call: v.string(),
  /** Only for the machine with this id or name; at its creation, the name that is asked for. */
  machine: v.optional(v.string()),
  /** The first matching call that is hit, counted from 1. */
  from: v.optional(count, 1),
  /** How many are hit; `"always"`: all from then on. */
  times: v.optional(v.union([count, v.literal("always")]), 1),
  /** The share of matching calls that is hit, by the seed. */
  share: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 1),
  do: action,
});

const faultScript = v.strictObject({
  /** Decides, with the order of the calls, which ones a `share` hits. */
  seed: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 32 - 1)), 1),
  /** Each call meets one of them at most: the first that is due. */
  faults: v.pipe(v.array(fault), v.maxLength(localLimits.faultsMax)),
});

/** What a person or test writes; what is optional may be left out. */
export type FaultScriptInput = v.InferInput<typeof faultScript>;
export type FaultScript = v.InferOutput<typeof faultScript>;
export type Fault = v.InferOutput<typeof fault>;
export type FaultAction = v.InferOutput<typeof action>;

/** The script with its defaults; 400 names the member that is wrong, or the call that does not exist. */
export function parseFaultScript(input: unknown, routes: readonly Route[]): FaultScript {
  const result = v.safeParse(faultScript, input);
  if (!result.success) {
    const [issue] = result.issues;
    throw new ApiError(400, `invalid_argument: ${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  }
  const calls = routes.filter(({ path }) => path.startsWith("/v1/"));
  const known = new Set([
    "*",
    `POST ${evidencePath}`,
    ...calls.map(({ method, path }) => `${method} ${path}`),
  ]);
  for (const [index, { call }] of result.output.faults.entries())
    if (!known.has(call))
      throw new ApiError(400, `invalid_argument: faults.${index}.call: there is no call "${call}"`);
  return result.output;
}
