import type { TarLimits } from "./limits.ts";
import { parseNumber } from "./number.ts";
import { type Segment, sparse, SparseMap } from "./sparse-map.ts";

/**
 * The map of a sparse file in the old GNU format (type "S"): pairs of offset 12 and size 12, a zero
 * byte instead of a size behind the last one.
 *
 *   header:      386 4 pairs | 482 extended 1 | 483 size of the file 12
 *   behind it:     0 21 pairs | 504 extended 1            as long as "extended" is not zero
 */
const pairBytes = 24;
const headerTable = { at: 386, pairs: 4, extendedAt: 482 } as const;
const blockTable = { at: 0, pairs: 21, extendedAt: 504 } as const;
const sizeField = { at: 483, end: 495 } as const;

export class SparseTable {
  readonly map: SparseMap;
  /** Whether another block of the table follows. */
  extended = true;
  readonly mapBytes = 0;
  #ended = false;

  constructor(header: Uint8Array, limits: TarLimits) {
    const size = parseNumber(header.subarray(sizeField.at, sizeField.end), "E_SPARSE");
    this.map = new SparseMap(size ?? -1, limits);
    this.#read(header, headerTable);
  }

  pushBlock(block: Uint8Array): void {
    this.#read(block, blockTable);
  }

  /** Readers stop at the first blank pair; whatever stands behind it would be read by some only. */
  #read(block: Uint8Array, table: typeof headerTable | typeof blockTable): void {
    for (let index = 0; index < table.pairs; index++) {
      const at = table.at + index * pairBytes;
      const pair = block.subarray(at, at + pairBytes);
      if (pair[pairBytes / 2] === 0) this.#ended = true;
      else if (this.#ended) throw sparse("a segment behind the last one");
      else this.map.add(segmentOf(pair));
    }
    this.extended = block[table.extendedAt] !== 0;
    if (this.extended && this.#ended) throw sparse("it goes on behind its end");
  }
}

function segmentOf(pair: Uint8Array): Segment {
  return {
    offset: parseNumber(pair.subarray(0, pairBytes / 2), "E_SPARSE") ?? -1,
    sizeBytes: parseNumber(pair.subarray(pairBytes / 2), "E_SPARSE") ?? -1,
  };
}
