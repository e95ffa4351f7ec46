/** What went wrong with a call, as callers branch on it. */
export type ApiErrorKind =
  /** No connection: nothing was done. */
  | "unreachable"
  /** The connection or the time ran out after the request had left: it may have been done. */
  | "lost"
  | "unauthorised"
  | "not-found"
  /** A lease, a stale version, a resource in use, a name taken. */
  | "conflict"
  | "no-capacity"
  | "rate-limited"
  | "refused"
  /** 5xx: it may have been done. */
  | "unavailable"
  /** An answer that is not what the API promises. */
  | "malformed";

/** A call to the Machines API that did not succeed. The message never holds a token. */
export class MachinesApiError extends Error {
  override readonly name = "MachinesApiError";
  readonly kind: ApiErrorKind;
  /** "create machine", for people. */
  readonly action: string;
  readonly status: number | undefined;
  readonly requestId: string | undefined;

  constructor(
    kind: ApiErrorKind,
    message: string,
    about: {
      readonly action: string;
      readonly status?: number | undefined;
      readonly requestId?: string | undefined;
    },
  ) {
    super(message);
    this.kind = kind;
    this.action = about.action;
    this.status = about.status;
    this.requestId = about.requestId;
  }

  /** Whether the change may have been made although the call failed. */
  get isOutcomeUnknown(): boolean {
    return this.kind === "lost" || this.kind === "unavailable" || this.kind === "malformed";
  }
}

/** Our own word that a machine did not get into a state, rather than a call that went wrong. */
export function isStateWord(error: unknown): error is MachinesApiError {
  return (
    error instanceof MachinesApiError &&
    error.action === waitAction &&
    error.status === undefined &&
    (error.kind === "lost" || error.kind === "refused")
  );
}

export const waitAction = "wait for machine";

const capacityWords =
  /insufficient|capacity|could not reserve|governor policy|temporarily disabled|unable to find a host/iu;

/** By status first, then Fly's word for it, then the text. */
export function errorKind(status: number, reason: string, text: string): ApiErrorKind {
  const plain = kinds.get(status);
  if (plain !== undefined) return plain;
  if (status >= 500) return "unavailable";
  return claimed.has(status) ? claimKind(status, reason, text) : "refused";
}

const kinds: ReadonlyMap<number, ApiErrorKind> = new Map([
  [401, "unauthorised"],
  [403, "unauthorised"],
  [404, "not-found"],
  [408, "lost"],
  [429, "rate-limited"],
]);

/** Statuses that say both "somebody has it" and "there is none left". */
const claimed: ReadonlySet<number> = new Set([409, 412, 422]);

function claimKind(status: number, reason: string, text: string): ApiErrorKind {
  if (reason.endsWith("capacity") || capacityWords.test(text)) return "no-capacity";
  if (status !== 422 || reason === "name_taken") return "conflict";
  return /already.(?:exists|been taken)/iu.test(text) ? "conflict" : "refused";
}
