import { ArchiveCorrupt } from "./archive-error.ts";

/**
 * Walks the header of the first gzip member (RFC 1952), whose name, comment and extra field may be
 * of any length, and refuses one above the limit. The decompressor itself checks everything else.
 *
 *   1f 8b | method 1 | flags 1 | time 4 | extra flags 1 | system 1
 *   | extra: length 2 and body (flag 4) | name, zero (flag 8) | comment, zero (flag 16) | crc 2 (flag 2)
 */
export class GzipHeader {
  readonly #bytesMax: number;
  #length = 0;
  #flags = 0;
  #extraLeft: number | undefined;
  #part: "fixed" | "extra" | "name" | "comment" | "done" = "fixed";

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#part === "done") return;
      this.#take(byte);
      this.#length++;
      if (this.#length > this.#bytesMax) {
        throw new ArchiveCorrupt(`The gzip header is longer than ${this.#bytesMax} bytes`);
      }
    }
  }

  #take(byte: number): void {
    switch (this.#part) {
      case "fixed":
        if (this.#length === 3) this.#flags = byte;
        if (this.#length === 9) this.#next("extra");
        break;
      case "extra":
        this.#takeExtra(byte);
        break;
      case "name":
        if (byte === 0) this.#next("comment");
        break;
      case "comment":
        if (byte === 0) this.#part = "done";
        break;
      case "done":
        break;
    }
  }

  /** Length 2 (little-endian), then so many bytes. */
  #takeExtra(byte: number): void {
    if (this.#length === 10) {
      this.#extraLeft = byte;
      return;
    }
    if (this.#length === 11) this.#extraLeft = (this.#extraLeft ?? 0) + byte * 256;
    else this.#extraLeft = (this.#extraLeft ?? 0) - 1;
    if (this.#extraLeft === 0) this.#next("name");
  }

  /** The first of the parts from `part` on that the flags announce. */
  #next(part: "extra" | "name" | "comment"): void {
    if (part === "extra" && (this.#flags & 0x04) !== 0) this.#part = "extra";
    else if (part !== "comment" && (this.#flags & 0x08) !== 0) this.#part = "name";
    else this.#part = (this.#flags & 0x10) === 0 ? "done" : "comment";
  }
}
