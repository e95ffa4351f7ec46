import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { quicLimits } from "./limits.ts";

/**
 * Makes the connection ids by which datagrams find us, and knows its own again without a table.
 * Those made here say nothing; those of `routed-id.ts` carry the machine.
 */
export interface ConnectionIds {
  /** 20 bytes; bytes 8 to 13 must differ from one to the next. */
  mint(): Uint8Array;
  /** Whether an earlier process with the same keys may have minted this one. */
  recognises(id: Uint8Array): boolean;
  /** The stateless reset token of an id, the same after a restart. */
  resetToken(id: Uint8Array): Uint8Array;
}

/** Layout: 12 random bytes, then 8 bytes of HMAC over them. */
export function directConnectionIds(key: Uint8Array = randomBytes(32)): ConnectionIds {
  const tag = (nonce: Uint8Array): Buffer =>
    createHmac("sha256", key).update("cid").update(nonce).digest().subarray(0, tagBytes);
  return {
    mint: () => {
      const nonce = randomBytes(nonceBytes);
      return new Uint8Array(Buffer.concat([nonce, tag(nonce)]));
    },
    recognises: (id) =>
      id.byteLength === connectionIdBytes &&
      timingSafeEqual(tag(id.subarray(0, nonceBytes)), id.subarray(nonceBytes)),
    resetToken: (id) =>
      createHmac("sha256", key).update("reset").update(id).digest().subarray(0, resetTokenBytes),
  };
}

/** A reset token as quiche wants it. */
export function tokenNumber(token: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(token).toString("hex")}`);
}

/** Looks like any short-header packet, and ends in the token (RFC 9000, 10.3). */
export function resetDatagram(token: Uint8Array, lengthBytes: number): Uint8Array {
  const datagram = randomBytes(Math.max(lengthBytes, quicLimits.resetBytesMin));
  datagram[0] = 0x40 | ((datagram[0] ?? 0) & 0x3f);
  datagram.set(token, datagram.byteLength - resetTokenBytes);
  return datagram;
}

export const connectionIdBytes = 20;
const nonceBytes = 12;
const tagBytes = 8;
const resetTokenBytes = 16;
