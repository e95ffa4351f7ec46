import * as v from "valibot";
import { decodeJson } from "../../protocol/message.ts";

/**
 * What keeper and link say to each other besides the protocol. The link may be of another version:
 * members and reports that one side does not know are ignored, and what cannot be understood without
 * them raises `planVersion`.
 */
export const linkPlanSchema = v.object({
  planVersion: v.number(),
  listen: v.optional(v.union([v.string(), v.undefined()])),
  keeperPid: v.number(),
  keeperSocket: v.string(),
  apiSocket: v.string(),
  runDir: v.string(),
  app: v.string(),
  machineId: v.string(),
  logLevel: v.picklist(["debug", "info", "warn", "error"]),
});
export type LinkPlan = v.InferOutput<typeof linkPlanSchema>;

export const linkPlanVersion = 1;

/** A plan of a keeper that is too new, or too old, for this link. */
export class LinkPlanError extends Error {
  override readonly name = "LinkPlanError";
}

/** The words on the link's command line. Throws `LinkPlanError` or `WireError`. */
export function decodeLinkPlan(json: string): LinkPlan {
  const bytes = new TextEncoder().encode(json);
  const { planVersion } = decodeJson(v.object({ planVersion: v.number() }), bytes, "Plan");
  if (planVersion !== linkPlanVersion)
    throw new LinkPlanError(
      `The keeper's plan is of version ${planVersion}, this link reads version ${linkPlanVersion}`,
    );
  return decodeJson(linkPlanSchema, bytes, "Plan");
}

/** Through a pipe: neither arguments nor environment of a process are private. */
export interface LinkKeys {
  /** Undefined: logins are refused. */
  readonly login: Uint8Array | undefined;
  /**
   * The same for every link of one keeper, so that the next one can tell the clients of the last that
   * it does not know them. Random, and not made from the token: strangers see what it makes.
   */
  readonly connectionIds: Uint8Array;
}

/** The keys, there before the link is started; then, as a byte of its own, that it may listen. */
export const linkKeyFd = 3;
const keyBytes = 32;

export function encodeLinkKeys({ connectionIds, login }: LinkKeys): Uint8Array {
  return Buffer.concat(login === undefined ? [connectionIds] : [connectionIds, login]);
}

export function decodeLinkKeys(bytes: Uint8Array): LinkKeys {
  if (bytes.length !== keyBytes && bytes.length !== 2 * keyBytes)
    throw new RangeError(`${bytes.length} bytes are no keys of a link`);
  const login = bytes.length > keyBytes ? bytes.slice(keyBytes) : undefined;
  return { connectionIds: bytes.slice(0, keyBytes), login };
}

/**
 * Lines of JSON from the link, in order: `ready` when all is loaded but the sockets, for which it
 * waits to be told, and `listening`. `failed` instead of either; then it ends.
 */
export const linkReportFd = 4;
export const linkReportSchema = v.variant("kind", [
  v.object({ kind: v.literal("ready"), version: v.string() }),
  v.object({ kind: v.literal("listening") }),
  v.object({ kind: v.literal("failed"), message: v.string() }),
]);
export type LinkReport = v.InferOutput<typeof linkReportSchema>;
