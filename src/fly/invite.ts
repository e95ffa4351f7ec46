import * as v from "valibot";
import { digests } from "./digests.ts";

/**
 * All that a client must know of a vault, in one line without spaces (docs/vaults.md):
 *
 *     fly-vault://v1/PAYLOAD.CHECK
 *
 * PAYLOAD is base64url of a JSON object with the members below, CHECK the first ten base64url
 * characters of SHA-256 over all that stands before the dot: against lines that were cut or wrapped
 * on the way, not against forgers. Whoever has the line can log in; it is as secret as the token.
 */
export interface Invite {
  readonly name: string;
  readonly address: string;
  readonly org: string;
  readonly app: string;
  readonly machine_id?: string | undefined;
  readonly access_token?: string | undefined;
  readonly admission_key?: string | undefined;
  readonly web_address?: string | undefined;
  readonly issuer?: string | undefined;
}

/** The message says what is wrong, and never quotes the line. */
export class InviteError extends Error {
  override readonly name = "InviteError";
}

export function encodeInvite(invite: Invite): string {
  const { name, address, org, app, machine_id, access_token } = invite;
  const { admission_key, web_address, issuer } = invite;
  // Named one by one: nothing else of what is at hand gets into it.
  const members = { name, address, org, app, machine_id, access_token };
  const json = JSON.stringify({ ...members, admission_key, web_address, issuer });
  const body = `${prefix}${Buffer.from(json).toString("base64url")}`;
  return `${body}.${checkOf(body)}`;
}

/** White space around it and in it is passed over: mail programs break long lines. Throws `InviteError`. */
export function decodeInvite(text: string): Invite {
  const line = text.replaceAll(/\s+/g, "");
  if (!line.startsWith("fly-vault://"))
    throw new InviteError("it does not start with fly-vault://");
  if (line.lastIndexOf("fly-vault://") > 0)
    throw new InviteError("there are several in it, each for one machine; give one");
  if (!line.startsWith(prefix)) throw new InviteError("it is of a version that is not known here");
  const dot = line.lastIndexOf(".");
  const body = line.slice(0, dot);
  if (dot === -1 || line.slice(dot + 1) !== checkOf(body))
    throw new InviteError("it was cut short or changed on the way");
  return membersOf(body.slice(prefix.length));
}

function membersOf(payload: string): Invite {
  let json: unknown;
  try {
    const bytes = new Uint8Array(Buffer.from(payload, "base64url"));
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new InviteError("what is in it is no JSON text");
  }
  const result = v.safeParse(inviteSchema, json);
  if (result.success) return result.output;
  const member = v.getDotPath(result.issues[0]);
  throw new InviteError(
    member === null
      ? "what is in it is no vault"
      : `"${member}" in it is missing or not known here`,
  );
}

function checkOf(body: string): string {
  const digest = digests.sha256(new TextEncoder().encode(body));
  return Buffer.from(digest).toString("base64url").slice(0, checkLength);
}

const words = v.pipe(v.string(), v.nonEmpty());

const inviteSchema = v.strictObject({
  name: words,
  address: words,
  org: words,
  app: words,
  machine_id: v.optional(words),
  access_token: v.optional(words),
  admission_key: v.optional(words),
  web_address: v.optional(words),
  issuer: v.optional(words),
});

const prefix = "fly-vault://v1/";
const checkLength = 10;
