import * as v from "valibot";
import { decodeJson, encodeJson } from "../../protocol/message.ts";
import { formatAdmissionKey, parseAdmissionKeys } from "../../quic/admission-key.ts";
import type { Secrets } from "./secrets.ts";

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
export interface LinkKeys extends Secrets {
  /**
   * The same for every link of one keeper, so that the next one can tell the clients of the last that
   * it does not know them. Random, and not made from the token: strangers see what it makes.
   */
  readonly connectionIds: Uint8Array;
}

/** The keys, there before the link is started; then, as a byte of its own, that it may listen. */
export const linkKeyFd = 3;
export const linkKeysBytesMax = 4096;
const keyBytes = 32;

/**
 * Without admission, the bare 32 or 64 bytes that every link understands. Else JSON: a link that has
 * not heard of admission must not listen at all rather than let everybody in.
 */
export function encodeLinkKeys({ connectionIds, login, admission }: LinkKeys): Uint8Array {
  if (admission === undefined)
    return Buffer.concat(login === undefined ? [connectionIds] : [connectionIds, login]);
  return encodeJson({
    connectionIds: textOf(connectionIds),
    login: login && textOf(login),
    admission: admission.map(formatAdmissionKey).join(","),
  });
}

export function decodeLinkKeys(bytes: Uint8Array): LinkKeys {
  if (bytes.length > 2 * keyBytes) return decodeAdmittingKeys(bytes);
  if (bytes.length !== keyBytes && bytes.length !== 2 * keyBytes)
    throw new RangeError(`${bytes.length} bytes are no keys of a link`);
  const login = bytes.length > keyBytes ? bytes.slice(keyBytes) : undefined;
  return { connectionIds: bytes.slice(0, keyBytes), login, admission: undefined };
}

function decodeAdmittingKeys(bytes: Uint8Array): LinkKeys {
  const { connectionIds, login, admission } = decodeJson(linkKeysSchema, bytes, "Keys");
  return { connectionIds, login, admission: admission === "" ? [] : parseAdmissionKeys(admission) };
}

const keySchema = v.pipe(
  v.string(),
  v.regex(/^[\w-]{43}$/),
  v.transform((text) => new Uint8Array(Buffer.from(text, "base64url"))),
);
const linkKeysSchema = v.object({
  connectionIds: keySchema,
  login: v.optional(keySchema),
  admission: v.string(),
});

const textOf = (key: Uint8Array): string => Buffer.from(key).toString("base64url");

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
