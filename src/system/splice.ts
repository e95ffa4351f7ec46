import { type ByteStream, StreamError } from "../protocol/byte-stream.ts";
import { socketLimits } from "./socket-limits.ts";

export interface Spliced {
  readonly aToBBytes: number;
  readonly bToABytes: number;
  /** The first thing that went wrong; both streams are aborted then. */
  readonly error: StreamError | undefined;
}

/**
 * Joins two streams until both directions have ended. The end of one direction is passed on and
 * leaves the other open; a reset in either aborts both. Never rejects with a `StreamError`.
 */
export async function splice(a: ByteStream, b: ByteStream): Promise<Spliced> {
  let error: StreamError | undefined;
  const fail = (cause: unknown): void => {
    const code = cause instanceof StreamError ? (cause.resetCode ?? 0) : 0;
    a.abort(code);
    b.abort(code);
    if (!(cause instanceof StreamError)) throw cause;
    error ??= cause;
  };
  const counts = { aToBBytes: 0, bToABytes: 0 };
  await Promise.all([
    pump(a, b, (length) => (counts.aToBBytes += length)).catch(fail),
    pump(b, a, (length) => (counts.bToABytes += length)).catch(fail),
  ]);
  return { ...counts, error };
}

async function pump(
  from: ByteStream,
  to: ByteStream,
  count: (length: number) => void,
): Promise<void> {
  const batches = new Batches(from);
  for (;;) {
    const bytes = await batches.next();
    if (bytes === null) {
      await to.end();
      return;
    }
    await to.write(bytes);
    count(bytes.length);
  }
}

/**
 * What has arrived already travels on as one: a QUIC stream gives 16 KiB at a time, and each write to
 * a socket wakes the process behind it. Nothing is waited for, so a lone byte is not late.
 */
class Batches {
  readonly #from: ByteStream;
  /** One read that had nothing when it was asked, or too much to be joined. */
  #ahead: Promise<Uint8Array | null> | undefined;
  #buffer: Uint8Array | undefined;

  constructor(from: ByteStream) {
    this.#from = from;
  }

  /** The array is good until the next call. */
  async next(): Promise<Uint8Array | null> {
    const first = await (this.#ahead ?? this.#from.read());
    this.#ahead = undefined;
    if (first === null) return null;
    let joined = first;
    while (joined.length < socketLimits.batchBytesMax) {
      const more = await this.#arrived();
      if (more === undefined || more === null) break;
      const length = joined.length + more.length;
      if (length > socketLimits.batchBytesMax) break;
      this.#ahead = undefined;
      this.#buffer ??= new Uint8Array(socketLimits.batchBytesMax);
      if (joined === first) this.#buffer.set(first);
      this.#buffer.set(more, joined.length);
      joined = this.#buffer.subarray(0, length);
    }
    return joined;
  }

  /** What the next read brings if it is there now; it stays the next in any case. */
  #arrived(): Promise<Uint8Array | null | undefined> {
    this.#ahead ??= this.#from.read();
    // A failure is for the next call.
    return Promise.race([this.#ahead.catch(() => undefined), settling()]);
  }
}

/** A promise that is settled already tells so within a few turns of the microtask queue. */
async function settling(): Promise<undefined> {
  for (let turn = 0; turn < 4; turn++) await Promise.resolve();
}
