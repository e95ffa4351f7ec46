/**
 * Why evidence was refused (docs/login.md, "Refusals of the client").
 *
 * - `form`: not the strict JWT we read, or its claims contradict each other.
 * - `time`: older, younger or longer-lived than allowed.
 * - `key`: signed by a key that the issuer does not list.
 * - `signature`: the listed key did not sign this.
 * - `issuer`, `app`, `machine`: truly signed, but somebody else's.
 * - `identity-changed`: the names are right, but the ids behind them are not those of first use.
 * - `audience`: truly this machine's, but not for this channel.
 * - `image`: the machine runs an image that is not on the list.
 */
export type AttestationCode =
  | "form"
  | "time"
  | "key"
  | "signature"
  | "issuer"
  | "audience"
  | "app"
  | "machine"
  | "identity-changed"
  | "image";

export class AttestationError extends Error {
  override readonly name = "AttestationError";
  readonly code: AttestationCode;

  constructor(code: AttestationCode, message: string) {
    super(message);
    this.code = code;
  }
}
