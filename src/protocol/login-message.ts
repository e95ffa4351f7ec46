import { WireError } from "./errors.ts";
import { limits } from "./limits.ts";
import { Reader, Writer } from "./wire.ts";

/**
 * The four messages of the login, on the client's first stream and nowhere else (docs/login.md).
 *
 *   0        1                 4
 *   +--------+-----------------+---------------- - -
 *   | type   | length (u24 BE) | body
 *   +--------+-----------------+---------------- - -
 *
 *   01 HELLO     C -> S   version u8 | Nc 32 | features u32          exactly 37
 *   02 EVIDENCE  S -> C   Ns 32 | features u32 | jwt                 37 to 36 + 4096
 *   03 PROOF     C -> S   Pc 32                                      exactly 32
 *   04 ACCEPT    S -> C   Ps 32 | session parameters, JSON           33 to 32 + 1024
 */
export const loginMessageTypes = {
  hello: 0x01,
  evidence: 0x02,
  proof: 0x03,
  accept: 0x04,
} as const;

export interface Hello {
  readonly kind: "hello";
  readonly version: number;
  readonly nonce: Uint8Array;
  readonly features: number;
}

export interface Evidence {
  readonly kind: "evidence";
  readonly nonce: Uint8Array;
  readonly features: number;
  readonly jwt: Uint8Array;
}

export interface Proof {
  readonly kind: "proof";
  readonly proof: Uint8Array;
}

export interface Accept {
  readonly kind: "accept";
  readonly proof: Uint8Array;
  readonly parameters: Uint8Array;
}

export type LoginMessage = Hello | Evidence | Proof | Accept;
export type LoginMessageKind = LoginMessage["kind"];

/** Throws `RangeError` for a message that the layout does not allow: that is our own mistake. */
export function encodeLoginMessage(message: LoginMessage): Uint8Array<ArrayBuffer> {
  const body = encodeBody(message);
  const { min, max } = bodyBytes[message.kind];
  if (body.length < min || body.length > max)
    throw new RangeError(`${message.kind} of ${body.length} bytes, allowed are ${min} to ${max}`);
  const header = new Writer(headerBytes + body.length).u8(loginMessageTypes[message.kind]);
  return header.u24(body.length).bytes(body).finish();
}

function encodeBody(message: LoginMessage): Uint8Array {
  switch (message.kind) {
    case "hello":
      return new Writer(limits.helloBytes)
        .u8(message.version)
        .bytes(message.nonce)
        .u32(message.features)
        .finish();
    case "evidence":
      return new Writer(36 + message.jwt.length)
        .bytes(message.nonce)
        .u32(message.features)
        .bytes(message.jwt)
        .finish();
    case "proof":
      return message.proof;
    case "accept":
      return new Writer().bytes(message.proof).bytes(message.parameters).finish();
  }
}

/**
 * Bytes in any slices -> messages, of the kinds this side may receive and no other: a stranger can
 * make a server hold 37 bytes here, never the room of an EVIDENCE.
 */
export class LoginMessageDecoder {
  readonly #kinds: readonly LoginMessageKind[];
  readonly #header = new Uint8Array(headerBytes);
  #headerLength = 0;
  #body: { readonly kind: LoginMessageKind; readonly bytes: Uint8Array } | undefined;
  #bodyLength = 0;

  constructor(kinds: readonly LoginMessageKind[]) {
    this.#kinds = kinds;
  }

  /** Messages completed by `bytes`, in order. Throws `WireError`; then the stream is of no use. */
  push(bytes: Uint8Array): LoginMessage[] {
    const messages: LoginMessage[] = [];
    let offset = 0;
    while (offset < bytes.length) {
      const rest = bytes.subarray(offset);
      offset += this.#body === undefined ? this.#takeHeader(rest) : this.#takeBody(rest);
      const message = this.#completed();
      if (message !== undefined) messages.push(message);
    }
    return messages;
  }

  /** True between messages: an end of stream elsewhere cuts one short. */
  get idle(): boolean {
    return this.#headerLength === 0;
  }

  #takeHeader(bytes: Uint8Array): number {
    const taken = Math.min(headerBytes - this.#headerLength, bytes.length);
    this.#header.set(bytes.subarray(0, taken), this.#headerLength);
    this.#headerLength += taken;
    if (this.#headerLength === headerBytes) this.#body = this.#startBody();
    return taken;
  }

  #startBody(): { kind: LoginMessageKind; bytes: Uint8Array } {
    const reader = new Reader(this.#header, "Login header");
    const type = reader.u8();
    const length = reader.u24();
    const kind = this.#kinds.find((allowed) => loginMessageTypes[allowed] === type);
    if (kind === undefined)
      throw new WireError(`Login message 0x${type.toString(16)} is not expected`);
    const { min, max } = bodyBytes[kind];
    if (length < min || length > max)
      throw new WireError(`Login message ${kind} of ${length} bytes, allowed are ${min} to ${max}`);
    return { kind, bytes: new Uint8Array(length) };
  }

  #takeBody(bytes: Uint8Array): number {
    const body = this.#body?.bytes ?? new Uint8Array();
    const taken = Math.min(body.length - this.#bodyLength, bytes.length);
    body.set(bytes.subarray(0, taken), this.#bodyLength);
    this.#bodyLength += taken;
    return taken;
  }

  #completed(): LoginMessage | undefined {
    const body = this.#body;
    if (body === undefined || this.#bodyLength < body.bytes.length) return undefined;
    this.#headerLength = 0;
    this.#body = undefined;
    this.#bodyLength = 0;
    return decodeBody(body.kind, body.bytes);
  }
}

function decodeBody(kind: LoginMessageKind, bytes: Uint8Array): LoginMessage {
  const reader = new Reader(bytes, `Login message ${kind}`);
  switch (kind) {
    case "hello": {
      const message = {
        kind,
        version: reader.u8(),
        nonce: reader.bytes(32),
        features: reader.u32(),
      };
      reader.finish();
      return message;
    }
    case "evidence":
      return { kind, nonce: reader.bytes(32), features: reader.u32(), jwt: reader.rest() };
    case "proof":
      return { kind, proof: reader.rest() };
    case "accept":
      return { kind, proof: reader.bytes(32), parameters: reader.rest() };
  }
}

const headerBytes = 4;

const bodyBytes: Record<LoginMessageKind, { readonly min: number; readonly max: number }> = {
  hello: { min: limits.helloBytes, max: limits.helloBytes },
  evidence: { min: limits.evidenceBytesMax - limits.jwtBytesMax + 1, max: limits.evidenceBytesMax },
  proof: { min: limits.proofBytes, max: limits.proofBytes },
  accept: { min: limits.proofBytes + 1, max: limits.acceptBytesMax },
};
