import { type ByteString, byteString, bytesOf } from "../../../system/archive/tar/byte-string.ts";
import type { TarAttributes } from "../../../system/archive/tar/entry.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

export interface PendingFolder {
  readonly path: ByteString;
  readonly mode: number;
  /** Undefined: leave it as it is. */
  readonly mtime?: TarAttributes["mtime"] | undefined;
}

export interface PendingLimits {
  readonly directoriesMax: number;
  readonly directoryBytesMax: number;
}

/**
 * Modes and times of folders, which wait until nothing is made inside any more. An archive may have
 * very many of them, so they are kept as bytes, one list for each depth:
 *
 *   0 path length 2 | 2 mode 2 | 4 nanoseconds 4 | 8 seconds 8 (negative: no time) | 16 path
 */
export class PendingFolders {
  readonly #limits: PendingLimits;
  /** By depth, the root's own first. */
  readonly #levels: RecordList[] = [];
  #count = 0;
  #bytes = 0;

  constructor(limits: PendingLimits) {
    this.#limits = limits;
  }

  /** A folder may be added again: what was said last counts. Throws `TarRefusal`. */
  add(folder: PendingFolder): void {
    const record = encode(folder);
    this.#count++;
    this.#bytes += record.length;
    if (this.#count > this.#limits.directoriesMax) {
      throw tooMany(`More than ${this.#limits.directoriesMax} directories`);
    }
    if (this.#bytes > this.#limits.directoryBytesMax) {
      throw tooMany(
        `The names of directories take more than ${this.#limits.directoryBytesMax} bytes`,
      );
    }
    const depth = depthOf(folder.path);
    while (this.#levels.length <= depth) this.#levels.push(new RecordList());
    this.#levels[depth]?.push(record);
  }

  /** A folder that nobody may enter keeps nobody out of those inside, when they come first. */
  *deepestFirst(): Generator<PendingFolder> {
    for (const level of this.#levels.toReversed()) yield* level.folders();
  }
}

const headBytes = 16;
const blockBytes = 16 * 1024;

/** Records in blocks, so that growing never copies. */
class RecordList {
  readonly #blocks: { readonly bytes: Buffer; used: number }[] = [];

  push(record: Uint8Array): void {
    let block = this.#blocks.at(-1);
    if (block === undefined || block.used + record.length > block.bytes.length) {
      block = { bytes: Buffer.alloc(blockBytes), used: 0 };
      this.#blocks.push(block);
    }
    block.bytes.set(record, block.used);
    block.used += record.length;
  }

  *folders(): Generator<PendingFolder> {
    for (const { bytes, used } of this.#blocks) {
      for (let at = 0; at < used; at += headBytes + bytes.readUInt16LE(at)) {
        yield decode(bytes.subarray(at));
      }
    }
  }
}

function encode({ path, mode, mtime }: PendingFolder): Buffer {
  const record = Buffer.alloc(headBytes + path.length);
  record.writeUInt16LE(path.length, 0);
  record.writeUInt16LE(mode, 2);
  record.writeUInt32LE(mtime?.nanoseconds ?? 0, 4);
  record.writeDoubleLE(mtime?.seconds ?? -1, 8);
  record.set(bytesOf(path), headBytes);
  return record;
}

function decode(record: Buffer): PendingFolder {
  const path = byteString(record.subarray(headBytes, headBytes + record.readUInt16LE(0)));
  const mode = record.readUInt16LE(2);
  const seconds = record.readDoubleLE(8);
  if (seconds < 0) return { path, mode };
  return { path, mode, mtime: { seconds, nanoseconds: record.readUInt32LE(4) } };
}

function depthOf(path: ByteString): number {
  return path === "" ? 0 : path.split("/").length;
}

function tooMany(message: string): TarRefusal {
  return new TarRefusal("E_LIMIT_DIRECTORIES", message);
}
