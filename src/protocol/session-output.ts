import { ProtocolError } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * What a workload wrote to one stream, kept for clients that are behind or away.
 *
 *   0 ........... start ============ end
 *     dropped            kept           not yet written
 *
 * Offsets are absolute and never restart. Kept are the last `capacityBytes`, or less when all rings
 * together reach the limit of their budget.
 */
export class OutputRing {
  readonly #capacityBytes: number;
  readonly #budget: OutputBudget;
  /** Nobody is known to want this: it goes first when memory is short. */
  expendable = false;
  /** From here on somebody waits for it, who would lose it. */
  neededFrom: () => number = () => Number.POSITIVE_INFINITY;
  #blocks: Block[] = [];
  #start = 0;
  #end = 0;
  #heldBytes = 0;
  #ended = false;

  constructor(budget: OutputBudget, capacityBytes: number = limits.ringBytes) {
    this.#budget = budget;
    this.#capacityBytes = capacityBytes;
    budget.add(this);
  }

  /** First offset that can still be read. */
  get startOffset(): number {
    return this.#start;
  }

  /** One past the last byte written so far. */
  get endOffset(): number {
    return this.#end;
  }

  /** True after `finish`: the end offset is final. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Memory held, which is a little more than what can be read. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether the oldest block can be given back without a loss to anybody who waits for it. */
  get hasSpareBlock(): boolean {
    const [oldest] = this.#blocks;
    return oldest !== undefined && oldest.start + oldest.used <= this.neededFrom();
  }

  /** How much can be appended before the byte at `offset` is lost: what a server that loses nothing may read. */
  roomBefore(offset: number): number {
    return Math.max(0, this.#capacityBytes - (this.#end - offset));
  }

  /** Copies `bytes`; the oldest give way. */
  append(bytes: Uint8Array): void {
    if (this.#ended) throw new ProtocolError("Output after its end");
    let from = 0;
    while (from < bytes.length) {
      const block = this.#tail();
      const taken = Math.min(bytes.length - from, block.bytes.length - block.used);
      block.bytes.set(bytes.subarray(from, from + taken), block.used);
      block.used += taken;
      this.#end += taken;
      from += taken;
      this.#dropBefore(this.#end - this.#capacityBytes);
    }
  }

  /** No more will be written. */
  finish(): void {
    this.#ended = true;
  }

  /**
   * What a client that has everything before `offset` gets next. Bytes are a view that stays valid;
   * they never change once written. Throws `ProtocolError` for an offset that was never reached.
   */
  readFrom(offset: number, bytesMax: number = limits.dataBytesMax): OutputRead {
    if (offset > this.#end)
      throw new ProtocolError(`Output offset ${offset} lies beyond the end, ${this.#end}`);
    if (offset < this.#start) return { kind: "gap", from: offset, to: this.#start };
    if (offset === this.#end) return { kind: this.#ended ? "end" : "wait" };
    const block = this.#blockAt(offset);
    const from = offset - block.start;
    const to = Math.min(block.used, from + bytesMax);
    return { kind: "data", offset, bytes: block.bytes.subarray(from, to) };
  }

  /** Where the last so many lines begin; 0, the begin of everything, when fewer are kept. */
  offsetOfLastLines(lines: number): number {
    let left = lines;
    if (left === 0) return this.#end;
    for (const { start, used, bytes } of this.#blocks.toReversed()) {
      let at = bytes.lastIndexOf(lineFeed, used - 1);
      while (at !== -1) {
        const offset = start + at + 1;
        if (offset < this.#start) return 0;
        // The one at the very end closes the last line, and begins none.
        if (offset < this.#end) left -= 1;
        if (left === 0) return offset;
        at = at === 0 ? -1 : bytes.lastIndexOf(lineFeed, at - 1);
      }
    }
    return 0;
  }

  /** Gives the oldest block back; for the budget. */
  dropOldestBlock(): void {
    const [oldest] = this.#blocks;
    if (oldest !== undefined) this.#dropBefore(oldest.start + oldest.used);
  }

  /** Forgets everything and leaves the budget: the session is over. */
  close(): void {
    this.#dropBefore(this.#end);
    this.#ended = true;
    this.#budget.remove(this);
  }

  #tail(): Block {
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.used < last.bytes.length) return last;
    const size = Math.min(blockBytesMax, Math.max(blockBytesMin, this.#end - this.#start));
    this.#budget.makeRoom(size);
    const block = { start: this.#end, used: 0, bytes: new Uint8Array(size) };
    this.#blocks.push(block);
    this.#heldBytes += size;
    return block;
  }

  #dropBefore(offset: number): void {
    if (offset <= this.#start) return;
    this.#start = offset;
    let dropped = 0;
    for (const block of this.#blocks) {
      if (block.start + block.used > offset) break;
      this.#heldBytes -= block.bytes.length;
      dropped += 1;
    }
    this.#blocks.splice(0, dropped);
  }

  /** Blocks are in order and mostly of one size, but few: halving finds one in seven steps. */
  #blockAt(offset: number): Block {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#blocks[middle]?.start ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    const block = this.#blocks[low];
    if (block === undefined) throw new RangeError(`No block holds offset ${offset}`);
    return block;
  }
}

export type OutputRead =
  | { readonly kind: "data"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  /** All there is so far. */
  | { readonly kind: "wait" }
  /** All there will ever be. */
  | { readonly kind: "end" };

/**
 * The cap on all rings together: when it is reached, the oldest ring that is expendable loses its
 * oldest block, without one the largest whose oldest block nobody waits for, and else the largest.
 */
export class OutputBudget {
  readonly #bytesMax: number;
  readonly #rings = new Set<OutputRing>();

  constructor(bytesMax: number = limits.ringsBytesMax) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    let sum = 0;
    for (const ring of this.#rings) sum += ring.heldBytes;
    return sum;
  }

  add(ring: OutputRing): void {
    this.#rings.add(ring);
  }

  remove(ring: OutputRing): void {
    this.#rings.delete(ring);
  }

  makeRoom(bytes: number): void {
    while (this.#rings.size > 0 && this.heldBytes + bytes > this.#bytesMax) {
      const rings = [...this.#rings];
      const loser =
        rings.find((ring) => ring.expendable && ring.heldBytes > 0) ??
        largest(rings.filter((ring) => ring.hasSpareBlock)) ??
        largest(rings);
      if (loser === undefined || loser.heldBytes === 0) return;
      loser.dropOldestBlock();
    }
  }
}

function largest(rings: readonly OutputRing[]): OutputRing | undefined {
  const [first, ...others] = rings;
  if (first === undefined) return undefined;
  return others.reduce((a, b) => (b.heldBytes > a.heldBytes ? b : a), first);
}

interface Block {
  readonly start: number;
  used: number;
  readonly bytes: Uint8Array;
}

const lineFeed = 0x0a;
const blockBytesMin = 4 * 1024;
const blockBytesMax = 64 * 1024;
