import { ArchiveCorrupt, ArchiveFormat } from "./archive-error.ts";

/**
 * Walks the framing of a zstd stream beside the decompressor, which accepts a stream cut short or
 * followed by garbage without a word. Pure; holds at most one frame header.
 *
 *   frame: magic FD2FB528 | descriptor 1 | window 0-1 | dictionary id 0-4 | content size 0-8
 *          | blocks: header 3 (last 1 bit, type 2, size 21) and body | checksum 0 or 4
 *   skippable frame: magic 184D2A50..5F | size 4 | body
 */
export class ZstdFrames {
  readonly #windowBytesMax: number;
  readonly #held = new Uint8Array(18);
  #heldLength = 0;
  /** What the held bytes are, and how many of them are needed next. */
  #expecting: "magic" | "descriptor" | "header" | "block" | "skip-size" = "magic";
  #needed = 4;
  #skip = 0;
  #hasChecksum = false;

  constructor(windowBytesMax: number) {
    this.#windowBytesMax = windowBytesMax;
  }

  /** Throws `ArchiveFormat` or `ArchiveCorrupt`. */
  push(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      this.#held[this.#heldLength++] = bytes[at++] ?? 0;
      if (this.#heldLength === this.#needed) this.#take();
    }
  }

  finish(): void {
    if (this.#expecting === "magic" && this.#heldLength === 0 && this.#skip === 0) return;
    throw new ArchiveCorrupt("The zstd stream is cut short");
  }

  #take(): void {
    const view = new DataView(this.#held.buffer);
    switch (this.#expecting) {
      case "magic":
        return this.#takeMagic(view.getUint32(0, true));
      case "skip-size":
        this.#skip = view.getUint32(0, true);
        return this.#expect("magic", 4);
      case "descriptor":
        return this.#takeDescriptor(view.getUint8(0));
      case "header":
        this.#checkWindow(view);
        return this.#expect("block", 3);
      case "block":
        return this.#takeBlock(view.getUint16(0, true) + view.getUint8(2) * 0x10000);
    }
  }

  #takeMagic(magic: number): void {
    if (magic === 0xfd2fb528) return this.#expect("descriptor", 1);
    if (magic >>> 4 === 0x184d2a5) return this.#expect("skip-size", 4);
    throw new ArchiveCorrupt("There is something after the end of the zstd stream");
  }

  #takeDescriptor(descriptor: number): void {
    if ((descriptor & 0x08) !== 0) throw new ArchiveCorrupt("A zstd frame sets a reserved bit");
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    // The descriptor stays in front of what follows: checkWindow needs both.
    this.#expecting = "header";
    this.#needed = 1 + headerBytes(descriptor);
    // A frame without any of the optional fields does not exist: the window or the size is there.
  }

  #checkWindow(view: DataView): void {
    const descriptor = view.getUint8(0);
    const windowBytes = isSingleSegment(descriptor)
      ? contentSize(view, descriptor)
      : windowSize(view.getUint8(1));
    if (windowBytes > this.#windowBytesMax) {
      throw new ArchiveFormat(
        `The zstd archive needs a window of ${windowBytes} bytes`,
        "Compress it with zstd -19 or less, without --long",
      );
    }
  }

  #takeBlock(header: number): void {
    const last = (header & 1) === 1;
    const type = (header >>> 1) & 3;
    if (type === 3) throw new ArchiveCorrupt("A zstd block has a reserved type");
    const repeated = type === 1;
    this.#skip = repeated ? 1 : header >>> 3;
    if (!last) return this.#expect("block", 3);
    if (this.#hasChecksum) this.#skip += 4;
    this.#expect("magic", 4);
  }

  #expect(what: "magic" | "descriptor" | "header" | "block" | "skip-size", bytes: number): void {
    this.#expecting = what;
    this.#needed = bytes;
    this.#heldLength = 0;
  }
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0x20) !== 0;
}

function dictionaryBytes(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3] ?? 0;
}

function contentSizeBytes(descriptor: number): number {
  return [isSingleSegment(descriptor) ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
}

function headerBytes(descriptor: number): number {
  const window = isSingleSegment(descriptor) ? 0 : 1;
  return window + dictionaryBytes(descriptor) + contentSizeBytes(descriptor);
}

function windowSize(byte: number): number {
  const base = 2 ** (10 + (byte >>> 3));
  return base + (base / 8) * (byte & 7);
}

function contentSize(view: DataView, descriptor: number): number {
  const at = 1 + dictionaryBytes(descriptor);
  switch (contentSizeBytes(descriptor)) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + 256;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
