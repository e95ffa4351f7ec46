import { createHmac, timingSafeEqual } from "node:crypto";
import type { AdmissionKey } from "./admission-key.ts";
import { quicLimits } from "./limits.ts";

/** What the holder of a machine's key puts before the first datagrams (docs/transport.md, section 5). */
export interface Admission {
  readonly machineId: string;
  /** Seconds since 1970, by the sender's clock. */
  readonly timeS: number;
  readonly tag: Uint8Array;
  /** The QUIC datagram behind the header, in the same memory. */
  readonly datagram: Uint8Array;
}

/** `random` has 3 bytes: a datagram that is sent twice within a second is no replay. */
export function sealAdmission(
  { epoch, machineId, key }: AdmissionKey,
  datagram: Uint8Array,
  timeS: number,
  random: Uint8Array,
): Uint8Array {
  const sealed = Buffer.alloc(admissionBytes + datagram.byteLength);
  sealed[0] = admissionMagic;
  sealed[1] = epoch;
  sealed.write(machineId, 2, "hex");
  sealed.writeUInt32BE(timeS >>> 0, timeAt);
  sealed.set(random.subarray(0, tagAt - randomAt), randomAt);
  sealed.set(datagram, admissionBytes);
  sealed.set(tagOf(sealed, key), tagAt);
  return new Uint8Array(sealed.buffer, sealed.byteOffset, sealed.byteLength);
}

/** Null unless the tag is right. `keyOf` is asked with what the header says, true or not. */
export function openAdmission(
  sealed: Uint8Array,
  keyOf: (epoch: number, machineId: string) => Uint8Array | undefined,
): Admission | null {
  const datagramBytes = sealed.byteLength - admissionBytes;
  if (sealed[0] !== admissionMagic || datagramBytes < quicLimits.initialDatagramBytesMin)
    return null;
  // More is never sent in a first flight, and would only cost time.
  if (datagramBytes > quicLimits.datagramBytesOptionMax) return null;
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  const machineId = bytes.toString("hex", 2, timeAt);
  const key = keyOf(bytes.readUInt8(1), machineId);
  if (key === undefined) return null;
  const tag = bytes.subarray(tagAt, admissionBytes);
  if (!timingSafeEqual(tag, tagOf(bytes, key))) return null;
  return {
    machineId,
    timeS: bytes.readUInt32BE(timeAt),
    tag,
    datagram: sealed.subarray(admissionBytes),
  };
}

function tagOf(sealed: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac("sha256", key)
    .update("fv-admit-1\0")
    .update(sealed.subarray(0, tagAt))
    .update(sealed.subarray(admissionBytes))
    .digest()
    .subarray(0, admissionBytes - tagAt);
}

export const admissionBytes = 28;
/** No QUIC of version 1: bit 0x40 is clear. */
export const admissionMagic = 0x0b;
const timeAt = 9;
const randomAt = 13;
export const tagAt = 16;
