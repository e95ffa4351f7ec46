import { createHmac, timingSafeEqual } from "node:crypto";
import type { AdmissionKey } from "./admission-key.ts";

/**
 * What a proxy may say to a client, and only to one whose tag was right: 26 bytes for at least 1228
 * (docs/transport.md, section 5).
 */
export interface AdmissionHint {
  readonly state: HintState;
  /** Seconds since 1970, by the proxy's clock. */
  readonly timeS: number;
  /** First bytes of the tag that it answers; zeros where it answers none. */
  readonly tagStart: Uint8Array;
}

/** What a client can do nothing about by itself, and should tell its user. */
export const hintStates = [
  "clock",
  "starting",
  "resuming",
  "busy",
  "failed",
  "resting",
  "unknown-machine",
  "draining",
] as const;

export type HintState = (typeof hintStates)[number];

export function sealHint({ key }: Pick<AdmissionKey, "key">, hint: AdmissionHint): Uint8Array {
  const sealed = Buffer.alloc(hintBytes);
  sealed[0] = magic;
  sealed.set(hint.tagStart.subarray(0, tagStartBytes), tagStartAt);
  sealed[stateAt] = hintStates.indexOf(hint.state);
  sealed.writeUInt32BE(hint.timeS >>> 0, timeAt);
  sealed.set(macOf(sealed, key), macAt);
  return new Uint8Array(sealed);
}

/** Null for what is no hint, or was not made with this key, or says what we do not know. */
export function openHint(
  { key }: Pick<AdmissionKey, "key">,
  sealed: Uint8Array,
): AdmissionHint | null {
  if (sealed.byteLength !== hintBytes || sealed[0] !== magic) return null;
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  if (!timingSafeEqual(bytes.subarray(macAt), macOf(bytes, key))) return null;
  const state = hintStates[bytes.readUInt8(stateAt)];
  if (state === undefined) return null;
  const tagStart = new Uint8Array(bytes.subarray(tagStartAt, stateAt));
  return { state, timeS: bytes.readUInt32BE(timeAt), tagStart };
}

function macOf(sealed: Uint8Array, key: Uint8Array): Uint8Array {
  const hmac = createHmac("sha256", key).update("fv-hint-1\0").update(sealed.subarray(0, macAt));
  return hmac.digest().subarray(0, hintBytes - macAt);
}

export const hintBytes = 26;
export const tagStartBytes = 8;
/** No QUIC of version 1: bit 0x40 is clear. */
const magic = 0x0a;
const tagStartAt = 1;
const stateAt = 9;
const timeAt = 10;
const macAt = 14;
