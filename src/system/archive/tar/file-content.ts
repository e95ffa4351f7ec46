import type { SparseMap } from "./sparse-map.ts";

/** How far a file has come: what is stored of it, and the holes between. */
export class FileContent {
  readonly #sizeBytes: number;
  readonly #map: Pick<SparseMap, "segment">;
  #next = 0;
  #position = 0;
  /** Bytes of the current segment that are still to come. */
  dataLeft = 0;

  /** A file without a map has one segment. */
  constructor(sizeBytes: number, map: Pick<SparseMap, "segment"> = oneSegment(sizeBytes)) {
    this.#sizeBytes = sizeBytes;
    this.#map = map;
  }

  /** As much of the segment as the chunk has. */
  take(chunk: Uint8Array, at: number): Uint8Array {
    const bytes = chunk.subarray(at, at + this.dataLeft);
    this.dataLeft -= bytes.length;
    return bytes;
  }

  /** The size of the hole before the next segment, or before the end of the file; undefined at its end. */
  nextSegment(): number | undefined {
    const end = { offset: this.#sizeBytes, sizeBytes: 0 };
    const segment = this.#map.segment(this.#next) ?? end;
    if (segment === end && this.#position === this.#sizeBytes) return undefined;
    const hole = segment.offset - this.#position;
    this.#next++;
    this.#position = segment.offset + segment.sizeBytes;
    this.dataLeft = segment.sizeBytes;
    return hole;
  }
}

function oneSegment(sizeBytes: number): Pick<SparseMap, "segment"> {
  return { segment: (index) => (index === 0 ? { offset: 0, sizeBytes } : undefined) };
}
