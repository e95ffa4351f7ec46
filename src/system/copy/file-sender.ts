import { crc32 } from "node:zlib";
import { type BigIntStats, closeSync, fstatSync, readSync } from "node:fs";
import { ChunkCutter } from "../../protocol/content-chunks.ts";
import type { FileMessage } from "../../protocol/file-message.ts";
import { limits } from "../../protocol/limits.ts";
import { type ChunkPlaces, chunkDigest } from "./chunk-places.ts";
import { copyLimits } from "./copy-limits.ts";
import { CopyTrouble } from "./copy-trouble.ts";
import { pathText } from "./path-bytes.ts";
import type { SourceTree } from "./source-tree.ts";

/** What the other side wants of a file: from where on, and what it has of the one before. */
export interface FileWish {
  readonly id: number;
  readonly offset: number;
  /** Of what is before the offset; undefined at 0. */
  readonly sha256: Uint8Array | undefined;
  readonly averageBits: number;
  readonly chunks: ChunkPlaces | undefined;
}

export interface SentFile {
  readonly path: Buffer;
  readonly tree: SourceTree;
  /** Read when it was announced with its digest, where it is small. */
  readonly content: Uint8Array | undefined;
  /** Whether its digest is said in any case. */
  readonly needsDigest: boolean;
}

type Sending = Generator<FileMessage | "working", void, undefined>;

/** One file as messages: as a whole, or from `start` to `end`. Content is lent until the next is asked for. Throws `CopyTrouble` or what the system says; the file is closed then. */
export function* sendFile(file: SentFile, wish: FileWish): Sending {
  const { path, tree, content } = file;
  const { id } = wish;
  if (content !== undefined && wish.offset === 0 && wish.chunks === undefined) {
    yield { type: "whole", id, crc32: crc32(content), bytes: content };
    return;
  }
  const fd = tree.open(path);
  try {
    const before = fstatSync(fd, { bigint: true });
    if (!before.isFile()) throw changed(path);
    const { offset, hash } = yield* startOf(fd, wish, file.needsDigest);
    yield { type: "start", id, offset };
    const reader = new ContentReader(fd, hash, offset, isSparse(before));
    yield* wish.chunks === undefined
      ? reader.whole(id)
      : reader.changes(id, new ChunkCutter(wish.averageBits), wish);
    if (!isSame(before, fstatSync(fd, { bigint: true }))) throw changed(path);
    yield { type: "end", id, size: reader.offset, crc32: reader.crc, sha256: hash?.digest() };
  } finally {
    closeSync(fd);
  }
}

/** Where the content begins: what the other side has already, if it is what stands here. */
function* startOf(
  fd: number,
  { offset, sha256, chunks }: FileWish,
  needsDigest: boolean,
): Generator<"working", { offset: number; hash: Bun.CryptoHasher | undefined }, undefined> {
  const isPutTogether = sha256 !== undefined || chunks !== undefined;
  if (!needsDigest && !isPutTogether) return { offset: 0, hash: undefined };
  const hash = new Bun.CryptoHasher("sha256");
  if (sha256 === undefined) return { offset: 0, hash };
  const bytes = Buffer.allocUnsafe(copyLimits.hashStepBytes);
  let at = 0;
  while (at < offset) {
    const count = readSync(fd, bytes, 0, Math.min(bytes.length, offset - at), at);
    if (count === 0) break;
    hash.update(bytes.subarray(0, count));
    at += count;
    yield "working";
  }
  if (at === offset && hash.copy().digest().equals(sha256)) return { offset, hash };
  return { offset: 0, hash: new Bun.CryptoHasher("sha256") };
}

class ContentReader {
  readonly #fd: number;
  readonly #hash: Bun.CryptoHasher | undefined;
  readonly #sparse: boolean;
  offset: number;
  /** Of all content that was sent. */
  crc = 0;

  constructor(fd: number, hash: Bun.CryptoHasher | undefined, offset: number, sparse: boolean) {
    this.#fd = fd;
    this.#hash = hash;
    this.offset = offset;
    this.#sparse = sparse;
  }

  *whole(id: number): Sending {
    const room = this.#sparse ? copyLimits.sparsePieceBytes : limits.fileContentBytesMax;
    const bytes = Buffer.allocUnsafe(room);
    for (;;) {
      const count = readSync(this.#fd, bytes, 0, bytes.length, this.offset);
      if (count === 0) return;
      yield this.#content(id, bytes.subarray(0, count));
    }
  }

  *changes(id: number, cutter: ChunkCutter, { chunks, averageBits }: FileWish): Sending {
    const window = Buffer.allocUnsafe(2 ** averageBits * 4 + copyLimits.hashStepBytes);
    let length = 0;
    let searched = 0;
    for (;;) {
      const readAt = this.offset + length;
      const count = readSync(this.#fd, window, length, window.length - length, readAt);
      length += count;
      let begin = 0;
      while (searched < length) {
        const cut = cutter.cut(window.subarray(0, length), searched);
        searched = cut < 0 ? length : cut;
        if (cut < 0) break;
        yield* this.#chunk(id, window.subarray(begin, cut), chunks);
        begin = cut;
      }
      if (count === 0) {
        if (begin < length) yield* this.#chunk(id, window.subarray(begin, length), chunks);
        return;
      }
      window.copyWithin(0, begin, length);
      length -= begin;
      searched = length;
      yield "working";
    }
  }

  *#chunk(id: number, bytes: Uint8Array, chunks: ChunkPlaces | undefined): Sending {
    const baseOffset = chunks?.find(bytes.length, chunkDigest(bytes));
    if (baseOffset !== undefined) {
      this.#hash?.update(bytes);
      const { offset } = this;
      this.offset += bytes.length;
      yield { type: "same", id, offset, baseOffset, length: bytes.length };
      return;
    }
    for (let at = 0; at < bytes.length; at += copyLimits.sparsePieceBytes)
      yield this.#content(id, bytes.subarray(at, at + copyLimits.sparsePieceBytes));
  }

  #content(id: number, bytes: Uint8Array): FileMessage {
    this.#hash?.update(bytes);
    const { offset } = this;
    this.offset += bytes.length;
    if (this.#sparse && isZero(bytes)) return { type: "hole", id, offset, length: bytes.length };
    this.crc = crc32(bytes, this.crc);
    return { type: "content", id, offset, bytes };
  }
}

/** Of a small file: undefined where it is not small any more, or cannot be read, which is told when it is wanted. */
export function readSmall(tree: SourceTree, path: Buffer, size: number): Uint8Array | undefined {
  let fd: number | undefined;
  try {
    fd = tree.open(path);
    const bytes = Buffer.allocUnsafe(size + 1);
    const count = readSync(fd, bytes, 0, bytes.length, 0);
    return count === size ? bytes.subarray(0, count) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

export function digestOf(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(bytes).digest();
}

/** Fewer blocks on the disk than it is long. */
function isSparse({ blocks, size }: BigIntStats): boolean {
  return blocks * 512n < size;
}

function isSame(before: BigIntStats, after: BigIntStats): boolean {
  return before.size === after.size && before.mtimeNs === after.mtimeNs;
}

function changed(path: Buffer): CopyTrouble {
  return new CopyTrouble("changed", `${pathText(path)}: changed while it was being read`);
}

const zeros = Buffer.alloc(copyLimits.sparsePieceBytes);

function isZero(bytes: Uint8Array): boolean {
  return zeros.subarray(0, bytes.length).equals(bytes);
}
