import type { TarLimits } from "./limits.ts";
import { TarRefusal } from "./refusal.ts";

/** A stretch of a sparse file that the archive stores; what lies between two of them is a hole. */
export interface Segment {
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * Where the stored bytes of a sparse file belong, checked while it grows: in order, apart, within the
 * file, and up to its end: an empty segment marks the end of a file that ends in a hole.
 */
export class SparseMap {
  /** Of the file as it will be, holes included. */
  readonly sizeBytes: number;
  /** Offset and size by turns: there may be many. */
  readonly #numbers: number[] = [];
  readonly #limits: TarLimits;
  #end = 0;
  #dataBytes = 0;

  constructor(sizeBytes: number, limits: TarLimits) {
    if (!isCount(sizeBytes)) throw sparse("the size is no number");
    this.sizeBytes = sizeBytes;
    this.#limits = limits;
  }

  /** Undefined behind the last one. */
  segment(index: number): Segment | undefined {
    const offset = this.#numbers[2 * index];
    const sizeBytes = this.#numbers[2 * index + 1];
    return offset === undefined || sizeBytes === undefined ? undefined : { offset, sizeBytes };
  }

  add(segment: Segment): void {
    const { offset, sizeBytes } = segment;
    if (!isCount(offset) || !isCount(sizeBytes)) throw sparse("a segment is no pair of numbers");
    if (this.#numbers.length === 2 * this.#limits.sparseSegmentsMax) {
      throw sparse(`more than ${this.#limits.sparseSegmentsMax} segments`);
    }
    // GNU tar begins every segment in a block of its own, other readers go on in the middle of one.
    if (sizeBytes > 0 && this.#dataBytes % this.#limits.blockBytes !== 0) {
      throw sparse("a segment begins inside a block");
    }
    if (offset < this.#end) throw sparse("segments overlap or are out of order");
    if (offset > this.sizeBytes - sizeBytes) throw sparse("a segment lies behind the file's end");
    this.#numbers.push(offset, sizeBytes);
    this.#end = offset + sizeBytes;
    this.#dataBytes += sizeBytes;
  }

  /** After the last segment: does the map account for the whole file, and for what is stored of it? */
  finish(storedBytes: number): void {
    // Some readers take the end of the last segment for the end of the file.
    if (this.#end !== this.sizeBytes) throw sparse("the last segment is not the end of the file");
    if (this.#dataBytes !== storedBytes) {
      throw sparse(`segments of ${this.#dataBytes} bytes, and ${storedBytes} are stored`);
    }
  }
}

export function sparse(what: string): TarRefusal {
  return new TarRefusal("E_SPARSE", `A sparse file with a broken map: ${what}`);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
