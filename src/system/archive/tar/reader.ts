import { printable } from "./byte-string.ts";
import { decideEntry, gnuLongName, type TarEntry, type TarMeta } from "./entry.ts";
import { FileContent } from "./file-content.ts";
import { parseHeader, type TarHeader } from "./header.ts";
import { tarLimits, type TarLimits } from "./limits.ts";
import { checkGlobal, parsePax } from "./pax.ts";
import { TarRefusal } from "./refusal.ts";
import { type SparseFile, sparseFile } from "./sparse-file.ts";

/**
 * Strict streaming reader of v7, ustar, PAX and GNU archives: bytes in any slices -> events.
 * One pass, one size per entry, refused at the first doubt; what it accepts, GNU tar reads the same way
 * (or complains: of a blank size where none is needed, and of times that are no times).
 * It holds one block and at most one meta entry (`metaBytesMax`), whatever comes.
 */
export type TarEvent =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  /** The next bytes of the file just announced: a view, valid until the next push. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** So many zeros come next in the file, which the archive does not store. */
  | { readonly kind: "hole"; readonly sizeBytes: number }
  /** After the last byte of a file, also of an empty one. Other kinds of entries have no end. */
  | { readonly kind: "file-end" };

type MetaType = "x" | "g" | "L" | "K";

interface MetaBody {
  readonly type: MetaType;
  readonly bytes: Uint8Array;
  filled: number;
}

export class TarReader {
  readonly #limits: TarLimits;
  readonly #block: Uint8Array;
  #blockFilled = 0;
  #meta: TarMeta = {};
  #metaInRow = 0;
  #metaBody: MetaBody | undefined;
  /** The header of a sparse file whose map is still being read. */
  #sparse: { readonly header: TarHeader; readonly file: SparseFile } | undefined;
  #content: FileContent | undefined;
  #paddingLeft = 0;
  #paddingIsZero = false;
  #zeroBlocks = 0;
  #takenBytes = 0;
  #blocks = 0;
  #entries = 0;
  #files = 0;
  #expandedBytes = 0;

  constructor(limits: TarLimits = tarLimits) {
    this.#limits = limits;
    this.#block = new Uint8Array(limits.blockBytes);
  }

  /** Header blocks seen, the one just refused included: tells "no archive at all" from "damaged later". */
  get blocks(): number {
    return this.#blocks;
  }

  /** Events of `chunk`. The generator must be run to its end before the next push. Throws `TarRefusal`; then the reader is of no use. */
  *push(chunk: Uint8Array): Generator<TarEvent, void, undefined> {
    this.#takenBytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#content !== undefined) {
        const bytes = this.#content.take(chunk, at);
        at += bytes.length;
        yield { kind: "data", bytes };
        yield* this.#toNextData(this.#content);
      } else if (this.#paddingLeft > 0) {
        at += this.#skipPadding(chunk.subarray(at, at + this.#paddingLeft));
      } else if (this.#metaBody !== undefined) {
        at += this.#takeMeta(this.#metaBody, chunk.subarray(at));
      } else if (this.#zeroBlocks === 2) {
        this.#checkTail(chunk.subarray(at));
        at = chunk.length;
      } else {
        const block = this.#takeBlock(chunk, at);
        at += block.taken;
        if (block.bytes !== undefined) yield* this.#readBlock(block.bytes);
      }
    }
  }

  /** To be called at the end of the input: throws `TarRefusal` unless the archive is whole. */
  finish(): void {
    if (this.#takenBytes === 0) throw new TarRefusal("E_EMPTY", "The archive is empty");
    if (this.#zeroBlocks < 2) throw new TarRefusal("E_TRUNCATED", this.#truncation());
    this.#checkNothingPending();
    if (this.#files === 0) throw new TarRefusal("E_EMPTY", "The archive holds no file");
  }

  /** Says what there is of the file without a byte of the archive: holes, and its end. */
  *#toNextData(content: FileContent): Generator<TarEvent, void, undefined> {
    while (content.dataLeft === 0) {
      const hole = content.nextSegment();
      if (hole === undefined) {
        this.#content = undefined;
        yield { kind: "file-end" };
        return;
      }
      if (hole > 0) yield { kind: "hole", sizeBytes: hole };
    }
  }

  #skipPadding(bytes: Uint8Array): number {
    if (this.#paddingIsZero && !isZero(bytes)) {
      throw new TarRefusal("E_META_SIZE", "A long name that goes on behind its size");
    }
    this.#paddingLeft -= bytes.length;
    return bytes.length;
  }

  #takeBlock(chunk: Uint8Array, at: number): { taken: number; bytes: Uint8Array | undefined } {
    const size = this.#limits.blockBytes;
    if (this.#blockFilled === 0 && chunk.length - at >= size) {
      return { taken: size, bytes: chunk.subarray(at, at + size) };
    }
    const taken = Math.min(size - this.#blockFilled, chunk.length - at);
    this.#block.set(chunk.subarray(at, at + taken), this.#blockFilled);
    this.#blockFilled += taken;
    if (this.#blockFilled < size) return { taken, bytes: undefined };
    this.#blockFilled = 0;
    return { taken, bytes: this.#block };
  }

  *#readBlock(block: Uint8Array): Generator<TarEvent, void, undefined> {
    if (this.#sparse !== undefined) {
      const { header, file } = this.#sparse;
      named(header, () => file.pushBlock(block));
      if (!file.extended) yield* this.#announce(header, file);
    } else if (isZero(block)) {
      this.#checkNothingPending();
      this.#zeroBlocks++;
    } else {
      this.#blocks++;
      if (this.#zeroBlocks > 0) throw afterEnd();
      yield* this.#readHeader(block);
    }
  }

  *#readHeader(block: Uint8Array): Generator<TarEvent, void, undefined> {
    const header = parseHeader(block);
    const { type } = header;
    if (isMeta(type)) {
      named(header, () => this.#beginMeta(type, header.size));
      return;
    }
    const file = named(header, () => sparseFile(header, block, this.#meta.pax, this.#limits));
    if (file?.extended === true) this.#sparse = { header, file };
    else yield* this.#announce(header, file);
  }

  /** Header, what stood before it and map are there: the entry, and of a file all up to its first byte. */
  *#announce(header: TarHeader, file?: SparseFile): Generator<TarEvent, void, undefined> {
    const entry = named(header, () => decideEntry(header, this.#meta, this.#limits, file));
    this.#meta = {};
    this.#metaInRow = 0;
    this.#sparse = undefined;
    named(header, () => this.#count(entry));
    yield { kind: "entry", entry };
    if (entry.kind !== "file") return;
    this.#paddingLeft = this.#padding(entry.storedBytes);
    this.#paddingIsZero = false;
    this.#content = new FileContent(entry.sizeBytes, file?.map);
    yield* this.#toNextData(this.#content);
  }

  #count(entry: TarEntry): void {
    this.#entries++;
    if (this.#entries > this.#limits.entriesMax) {
      throw new TarRefusal("E_LIMIT_ENTRIES", `More than ${this.#limits.entriesMax} entries`);
    }
    if (entry.kind !== "file") return;
    this.#files++;
    this.#expandedBytes += entry.sizeBytes;
    if (this.#expandedBytes > this.#limits.expandedBytesMax) {
      throw new TarRefusal("E_LIMIT_BYTES", `More than ${this.#limits.expandedBytesMax} bytes`);
    }
  }

  #beginMeta(type: MetaType, size: number | undefined): void {
    if (size === undefined || size < 0) throw new TarRefusal("E_SIZE", "A header without a size");
    if (size > this.#limits.metaBytesMax) {
      throw new TarRefusal("E_META_SIZE", `A "${type}" header of ${size} bytes`);
    }
    this.#metaInRow++;
    if (this.#metaInRow > this.#limits.metaInRowMax) {
      throw new TarRefusal("E_META_REPEAT", "Too many headers before one entry");
    }
    this.#checkMetaOrder(type);
    // Allocated at once: its size is bounded just above.
    const body: MetaBody = { type, bytes: new Uint8Array(size), filled: 0 };
    if (size === 0) this.#applyMeta(body);
    else this.#metaBody = body;
  }

  /** PAX and GNU long names before one entry: readers disagree about which header the size is for. */
  #checkMetaOrder(type: MetaType): void {
    const { pax, longName, longLink } = this.#meta;
    const gnu = longName !== undefined || longLink !== undefined;
    if (type === "x" ? gnu : pax !== undefined && type !== "g") {
      throw new TarRefusal("E_META_MIX", "PAX and GNU headers before one entry");
    }
    const repeated = { x: pax, g: pax ?? longName ?? longLink, L: longName, K: longLink }[type];
    if (repeated !== undefined) {
      throw new TarRefusal("E_META_REPEAT", `A "${type}" header out of place`);
    }
  }

  #takeMeta(body: MetaBody, bytes: Uint8Array): number {
    const taken = Math.min(body.bytes.length - body.filled, bytes.length);
    body.bytes.set(bytes.subarray(0, taken), body.filled);
    body.filled += taken;
    if (body.filled === body.bytes.length) {
      this.#metaBody = undefined;
      this.#paddingLeft = this.#padding(body.bytes.length);
      // GNU tar reads a long name up to the first zero, wherever that is.
      this.#paddingIsZero = body.type === "L" || body.type === "K";
      this.#applyMeta(body);
    }
    return taken;
  }

  #applyMeta(body: MetaBody): void {
    switch (body.type) {
      case "x":
        this.#meta.pax = parsePax(body.bytes);
        break;
      case "g":
        checkGlobal(parsePax(body.bytes));
        break;
      case "L":
        this.#meta.longName = gnuLongName(body.bytes);
        break;
      case "K":
        this.#meta.longLink = gnuLongName(body.bytes);
        break;
    }
  }

  #padding(sizeBytes: number): number {
    const rest = sizeBytes % this.#limits.blockBytes;
    return rest === 0 ? 0 : this.#limits.blockBytes - rest;
  }

  #checkNothingPending(): void {
    const { pax, longName, longLink } = this.#meta;
    if (pax === undefined && longName === undefined && longLink === undefined) return;
    throw new TarRefusal("E_META_ORPHAN", "A PAX or GNU header without the entry it is for");
  }

  #checkTail(bytes: Uint8Array): void {
    if (!isZero(bytes)) throw afterEnd();
  }

  #truncation(): string {
    const left = this.#content?.dataLeft ?? 0;
    const where = left > 0 ? `, ${left} bytes short in a file` : "";
    return `The archive ends after ${this.#takenBytes} bytes without an end mark${where}`;
  }
}

/** Data behind the end mark is read by some tools and not by others. */
function afterEnd(): TarRefusal {
  return new TarRefusal("E_AFTER_EOF", "There is something after the end of the archive");
}

function isMeta(type: string): type is MetaType {
  return type === "x" || type === "g" || type === "L" || type === "K";
}

function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}

/** Puts the name of the entry on a refusal that has none. */
function named<Result>(header: TarHeader, decide: () => Result): Result {
  try {
    return decide();
  } catch (error) {
    if (error instanceof TarRefusal) error.entry ??= printable(header.name);
    throw error;
  }
}
