import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { SocketAddress } from "./connection.ts";
import { quicLimits } from "./limits.ts";

/**
 * Proof that a stranger receives at the address it sends from; asked for only under load. Sealed
 * with a key of this process, bound to the address and to the id we gave, and short-lived.
 *
 * Layout: nonce 12, then sealed: time 8 (milliseconds, big-endian), original id; then tag 16.
 */
export class RetryTokens {
  readonly #key = randomBytes(32);

  seal(originalDcid: Uint8Array, scid: Uint8Array, from: SocketAddress, nowMs: number): Uint8Array {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    cipher.setAAD(binding(scid, from));
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(nowMs))));
    const sealed = Buffer.concat([
      cipher.update(time),
      cipher.update(originalDcid),
      cipher.final(),
    ]);
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
  }

  /** The original id, or null when the token is not ours, not for this address, or too old. */
  open(token: Uint8Array, scid: Uint8Array, from: SocketAddress, nowMs: number): Uint8Array | null {
    if (token.byteLength > quicLimits.retryTokenBytesMax) return null;
    const end = token.byteLength - tagBytes;
    if (end < nonceBytes + 8) return null;
    const decipher = createDecipheriv("aes-256-gcm", this.#key, token.subarray(0, nonceBytes));
    decipher.setAAD(binding(scid, from));
    decipher.setAuthTag(token.subarray(end));
    try {
      const sealed = token.subarray(nonceBytes, end);
      const plain = Buffer.concat([decipher.update(sealed), decipher.final()]);
      const ageMs = nowMs - Number(plain.readBigUInt64BE(0));
      return ageMs <= quicLimits.retryTokenMs ? new Uint8Array(plain.subarray(8)) : null;
    } catch {
      return null;
    }
  }
}

function binding(scid: Uint8Array, from: SocketAddress): Buffer {
  return Buffer.concat([scid, Buffer.from(`\n${from.host}\n${from.port}`)]);
}

const nonceBytes = 12;
const tagBytes = 16;
