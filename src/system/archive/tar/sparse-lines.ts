import { sparse, type SparseMap } from "./sparse-map.ts";

/** More digits than a safe integer has. */
const digitsMax = 16;

/**
 * The map of a sparse file in PAX version 1.0: at the start of the stored data a decimal number on a
 * line of its own for the count of segments, then two for each, padded to a whole block.
 */
export class SparseLines {
  readonly map: SparseMap;
  readonly #storedBytes: number;
  #mapBytes = 0;
  #numbersLeft: number | undefined;
  #offset: number | undefined;
  #value = 0;
  #digits = 0;

  constructor(map: SparseMap, storedBytes: number) {
    this.map = map;
    this.#storedBytes = storedBytes;
  }

  /** Whether another block of the map follows. */
  get extended(): boolean {
    return this.#numbersLeft !== 0;
  }

  get mapBytes(): number {
    return this.#mapBytes;
  }

  pushBlock(block: Uint8Array): void {
    this.#mapBytes += block.length;
    if (this.#mapBytes > this.#storedBytes) throw sparse("it is longer than what is stored");
    for (const byte of block) {
      if (!this.extended) return;
      if (byte === 0x0a) this.#endLine();
      else this.#digit(byte - 0x30);
    }
  }

  #digit(digit: number): void {
    if (digit < 0 || digit > 9 || this.#digits === digitsMax) throw sparse("not a decimal number");
    this.#value = this.#value * 10 + digit;
    this.#digits++;
  }

  #endLine(): void {
    if (this.#digits === 0) throw sparse("an empty line");
    this.#take(this.#value);
    this.#value = 0;
    this.#digits = 0;
  }

  #take(value: number): void {
    if (this.#numbersLeft === undefined) {
      this.#numbersLeft = value * 2;
      return;
    }
    this.#numbersLeft--;
    if (this.#offset === undefined) {
      this.#offset = value;
      return;
    }
    this.map.add({ offset: this.#offset, sizeBytes: value });
    this.#offset = undefined;
  }
}
