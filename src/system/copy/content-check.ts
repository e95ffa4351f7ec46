import { crc32 } from "node:zlib";
import { ProtocolError } from "../../protocol/errors.ts";
import type { FileMessage } from "../../protocol/file-message.ts";
import { copyLimits } from "./copy-limits.ts";

/** The checksum of what comes of a file and, where it is wanted, the digest of all of it. */
export class ContentCheck {
  #hash: Bun.CryptoHasher | undefined;
  #isPutTogether = false;
  /** A few percent of what a digest costs, and QUIC has told whose it is already. */
  #crc = 0;

  /** At the beginning of the file. */
  begin(isHashed: boolean): void {
    this.#hash = isHashed ? new Bun.CryptoHasher("sha256") : undefined;
    this.#isPutTogether = false;
  }

  came(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    this.#crc = crc32(bytes, this.#crc);
  }

  /** Zeros that nobody sent. */
  skipped(length: number): void {
    for (let left = length; left > 0 && this.#hash !== undefined; left -= zeros.length)
      this.#hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
  }

  /** What was here before: then there is a digest in any case. */
  found(bytes: Uint8Array): void {
    this.#hash ??= new Bun.CryptoHasher("sha256");
    this.#hash.update(bytes);
    this.#isPutTogether = true;
  }

  /** Of all so far; undefined where it is not hashed. */
  get digest(): Buffer | undefined {
    return this.#hash?.copy().digest();
  }

  /** What was put together of what was here and what came must have the digest that is said. */
  isAs({ crc32: crc, sha256 }: Extract<FileMessage, { type: "end" }>): boolean {
    if (sha256 === undefined && this.#isPutTogether)
      throw new ProtocolError("The end of a file without its digest");
    const isOther = sha256 !== undefined && this.digest?.equals(sha256) === false;
    return crc === this.#crc && !isOther;
  }
}

const zeros = Buffer.alloc(copyLimits.hashStepBytes);
