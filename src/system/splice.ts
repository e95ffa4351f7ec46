import { type ByteStream, StreamError } from "../protocol/byte-stream.ts";

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
  for (;;) {
    const bytes = await from.read();
    if (bytes === null) {
      await to.end();
      return;
    }
    await to.write(bytes);
    count(bytes.length);
  }
}
