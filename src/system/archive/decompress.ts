import { constants, createGunzip, createZstdDecompress, type Gunzip } from "node:zlib";
import { ArchiveCorrupt } from "./archive-error.ts";
import { type Compression, detectCompression, magicBytes } from "./archive-format.ts";
import { GzipHeader } from "./gzip-header.ts";
import { archiveLimits } from "./limits.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/**
 * Archive bytes -> tar bytes. The work is done on another thread, so that the caller writes files
 * meanwhile; `decodedAheadBytes` is how far it may run ahead. Throws `ArchiveFormat`, `ArchiveCorrupt`
 * and whatever `source` throws.
 */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const peeked = await peek(source);
  if (peeked.compression === "none") yield* peeked.bytes;
  else yield* inflated(peeked.bytes, peeked.compression);
}

interface Peeked {
  readonly compression: Compression;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Reads as far as the magic goes, and puts what it read back in front. */
async function peek(source: AsyncIterable<Uint8Array>): Promise<Peeked> {
  const iterator = source[Symbol.asyncIterator]();
  let start: Uint8Array = new Uint8Array(0);
  while (start.length < magicBytes) {
    const next = await iterator.next();
    if (next.done === true) break;
    start = start.length === 0 ? next.value : Buffer.concat([start, next.value]);
  }
  return { compression: detectCompression(start), bytes: joined(start, iterator) };
}

async function* joined(
  start: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (start.length > 0) yield start;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}

async function* inflated(
  source: AsyncIterable<Uint8Array>,
  compression: "gzip" | "zstd",
): AsyncGenerator<Uint8Array> {
  const decoder = compression === "gzip" ? gzipDecoder() : zstdDecoder();
  const left = new AbortController();
  let sourceError: Error | undefined;
  const feeding = feed(source, decoder, left.signal).catch((error: unknown) => {
    sourceError = error instanceof Error ? error : new Error(String(error));
    decoder.stream.destroy();
  });
  try {
    for await (const chunk of decoder.stream) yield chunk as Uint8Array;
    // Its end may come long before that of the source, and what is behind it counts.
    await feeding;
  } catch (error) {
    if (sourceError === undefined) throw damaged(error, compression);
  } finally {
    left.abort();
    decoder.stream.destroy();
  }
  if (sourceError !== undefined) throw sourceError;
}

interface Decoder {
  readonly stream: Pick<Gunzip, "write" | "end" | "destroy" | "bytesWritten"> &
    AsyncIterable<unknown>;
  /** Sees the compressed bytes before the stream does. */
  readonly check: (bytes: Uint8Array) => void;
  readonly finish: () => void;
}

const streamOptions = {
  chunkSize: archiveLimits.decodedChunkBytes,
  readableHighWaterMark: archiveLimits.decodedAheadBytes,
};

function gzipDecoder(): Decoder {
  const header = new GzipHeader(archiveLimits.gzipHeaderBytesMax);
  return {
    stream: createGunzip(streamOptions),
    check: (bytes) => header.push(bytes),
    finish: () => undefined,
  };
}

function zstdDecoder(): Decoder {
  const frames = new ZstdFrames(archiveLimits.zstdWindowBytesMax);
  const params = {
    [constants.ZSTD_d_windowLogMax]: Math.log2(archiveLimits.zstdWindowBytesMax),
  };
  return {
    stream: createZstdDecompress({ ...streamOptions, params }),
    check: (bytes) => frames.push(bytes),
    finish: () => frames.finish(),
  };
}

/**
 * Two chunks at a time: the decoder's thread begins the next one by itself, while this one deals with what
 * the last one gave. Behind the last member of a gzip stream only zeros may stand (padding of tapes and blocks).
 */
async function feed(
  source: AsyncIterable<Uint8Array>,
  decoder: Decoder,
  left: AbortSignal,
): Promise<void> {
  const { stream } = decoder;
  let fedBytes = 0;
  let ended = false;
  let latest: Feeding | undefined;
  const settle = async (feeding: Feeding | undefined): Promise<void> => {
    if (feeding === undefined) return;
    const unused = await feeding.unused;
    // What it was given behind its end it may have taken all the same.
    if (ended) refuseGarbage(feeding.chunk);
    else if (unused > 0) refuseGarbage(feeding.chunk.subarray(feeding.chunk.length - unused));
    ended ||= unused > 0;
  };
  for await (const chunk of source) {
    if (left.aborted) return;
    if (ended) {
      refuseGarbage(chunk);
      continue;
    }
    decoder.check(chunk);
    fedBytes += chunk.length;
    const before = latest;
    latest = { chunk, unused: write(stream, chunk, fedBytes) };
    await settle(before);
  }
  await settle(latest);
  decoder.finish();
  stream.end();
}

interface Feeding {
  readonly chunk: Uint8Array;
  readonly unused: Promise<number>;
}

/**
 * Resolves when the decoder took the chunk, with the bytes it left of all that ends there: more than none once
 * it has come to its own end. One that failed left nothing: its error shows on the reading side.
 */
async function write(
  stream: Decoder["stream"],
  chunk: Uint8Array,
  fedBytes: number,
): Promise<number> {
  return new Promise((resolve) => {
    stream.write(chunk, (error) => {
      resolve(error instanceof Error ? 0 : Math.max(0, fedBytes - stream.bytesWritten));
    });
  });
}

function refuseGarbage(bytes: Uint8Array): void {
  if (bytes.some((byte) => byte !== 0)) {
    throw new ArchiveCorrupt("There is something after the end of the compressed stream");
  }
}

function damaged(error: unknown, compression: "gzip" | "zstd"): ArchiveCorrupt {
  const reason = error instanceof Error ? error.message : String(error);
  return new ArchiveCorrupt(`The ${compression} stream is cut short or damaged (${reason})`);
}
