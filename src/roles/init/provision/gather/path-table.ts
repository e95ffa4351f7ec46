/** Paths by numbers from 1, one behind the other in blocks: as a million objects they would take several times as much. */
export class PathTable {
  readonly #bytesMax: number;
  readonly #blocks: Buffer[] = [];
  /** Counted over all blocks; the length stands there, then the path. */
  readonly #places: number[] = [];
  #end = 0;
  #latest: Buffer | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The number of one of 64 KiB at most; that of the one before, if it is the same object. Undefined without room. */
  add(path: Buffer): number | undefined {
    if (path === this.#latest) return this.#places.length;
    const bytes = lengthBytes + path.length;
    const isInBlock = (this.#end % blockBytes) + bytes <= blockBytes;
    const place = isInBlock ? this.#end : Math.ceil(this.#end / blockBytes) * blockBytes;
    if (place + bytes > this.#bytesMax) return undefined;
    const block = (this.#blocks[Math.floor(place / blockBytes)] ??= Buffer.alloc(blockBytes));
    block.set(path, block.writeUInt16LE(path.length, place % blockBytes));
    this.#end = place + bytes;
    this.#latest = path;
    return this.#places.push(place);
  }

  of(number: number): Uint8Array {
    const place = this.#places[number - 1] ?? NaN;
    const block = this.#blocks[Math.floor(place / blockBytes)];
    if (block === undefined) throw new RangeError(`There is no path ${number}`);
    const start = (place % blockBytes) + lengthBytes;
    return block.subarray(start, start + block.readUInt16LE(place % blockBytes));
  }
}

const blockBytes = 1024 * 1024;
const lengthBytes = 2;
