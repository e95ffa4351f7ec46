import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import { between, type Random } from "./seed.ts";

/**
 * A pair of byte streams in memory that misbehaves like a real one: bounded buffers, slices cut
 * anywhere, stalls, half-close, resets. No timers: a stall is a number of turns of the microtask
 * queue, so a run with a seed is the same run every time and takes no longer than its work.
 */
export interface MemoryStreamOptions {
  /** Bytes each direction holds before `write` waits. */
  readonly bufferBytes?: number;
  /** Cuts and stalls; without it slices are as written and nothing stalls. */
  readonly random?: Random;
  /** Chance that a read first waits for up to `stallTurns` turns. */
  readonly stallChance?: number;
  readonly stallTurns?: number;
  /** The pair is cut off by itself when this many bytes have passed, both directions together. */
  readonly cutAfterBytes?: number;
}

export interface MemoryPair {
  readonly near: ByteStream;
  readonly far: ByteStream;
  /** The connection is lost: both ends fail at once and what was on the way is gone. */
  cut: () => void;
}

export function memoryPair(options: MemoryStreamOptions = {}): MemoryPair {
  let passedBytes = 0;
  const passed = (count: number): void => {
    passedBytes += count;
    if (passedBytes >= (options.cutAfterBytes ?? Number.POSITIVE_INFINITY)) cut();
  };
  const outward = new Direction(options, passed);
  const inward = new Direction(options, passed);
  const cut = (): void => {
    outward.fail("connection-lost", "connection-lost");
    inward.fail("connection-lost", "connection-lost");
  };
  return { near: end(inward, outward), far: end(outward, inward), cut };
}

function end(reading: Direction, writing: Direction): ByteStream {
  return {
    read: () => reading.read(),
    write: async (bytes) => {
      await writing.write(bytes);
    },
    end: async () => {
      await writing.end();
    },
    abort: (code) => {
      reading.fail("aborted", "stopped", code);
      writing.fail("reset", "aborted", code);
    },
  };
}

class Direction {
  readonly #options: MemoryStreamOptions;
  readonly #passed: (count: number) => void;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #ended = false;
  #readFailure: StreamError | undefined;
  #writeFailure: StreamError | undefined;
  #waiting: (() => void)[] = [];

  constructor(options: MemoryStreamOptions, passed: (count: number) => void) {
    this.#options = options;
    this.#passed = passed;
  }

  async read(): Promise<Uint8Array | null> {
    await this.#stall();
    while (this.#heldBytes === 0 && !this.#ended && this.#readFailure === undefined)
      await this.#changed();
    if (this.#readFailure !== undefined) throw this.#readFailure;
    const [first] = this.#held;
    if (first === undefined) return null;
    const slice = this.#take(first);
    this.#wake();
    this.#passed(slice.length);
    return slice;
  }

  async write(bytes: Uint8Array): Promise<void> {
    const limit = this.#options.bufferBytes ?? 256 * 1024;
    let from = 0;
    while (from < bytes.length) {
      this.#checkWritable();
      const count = Math.min(limit - this.#heldBytes, bytes.length - from);
      if (count > 0) {
        this.#held.push(bytes.slice(from, from + count));
        this.#heldBytes += count;
        from += count;
        this.#wake();
      } else {
        await this.#changed();
      }
    }
    while (this.#heldBytes >= limit && this.#writeFailure === undefined) await this.#changed();
    this.#checkWritable();
  }

  async end(): Promise<void> {
    if (this.#writeFailure !== undefined) throw this.#writeFailure;
    this.#ended = true;
    this.#wake();
  }

  /** The first failure of each side stays. What is on the way is lost. */
  fail(readKind: StreamError["kind"], writeKind: StreamError["kind"], code?: number): void {
    if (this.#readFailure !== undefined) return;
    if (this.#ended && this.#heldBytes === 0 && readKind === "reset") return;
    this.#readFailure = new StreamError(readKind, `Memory stream: ${readKind}`, code);
    this.#writeFailure = new StreamError(writeKind, `Memory stream: ${writeKind}`, code);
    this.#held = [];
    this.#heldBytes = 0;
    this.#wake();
  }

  #checkWritable(): void {
    if (this.#writeFailure !== undefined) throw this.#writeFailure;
    if (this.#ended) throw new StreamError("aborted", "Memory stream: written after its end");
  }

  #take(first: Uint8Array): Uint8Array {
    const random = this.#options.random;
    const length = random === undefined ? first.length : between(random, 1, first.length);
    const slice = first.subarray(0, length);
    if (length === first.length) this.#held.shift();
    else this.#held[0] = first.subarray(length);
    this.#heldBytes -= length;
    return slice;
  }

  async #stall(): Promise<void> {
    const { random, stallChance = 0, stallTurns = 8 } = this.#options;
    if (random === undefined || random() >= stallChance) return;
    for (let turns = between(random, 1, stallTurns); turns > 0; turns--) await Promise.resolve();
  }

  async #changed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    await promise;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
