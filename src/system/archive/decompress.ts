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
  const reading = new Reading();
  let sourceError: Error | undefined;
  const feeding = feed(source, decoder, reading).catch((error: unknown) => {
    sourceError = error instanceof Error ? error : new Error(String(error));
    decoder.stream.destroy();
  });
  try {
    for await (const chunk of decoder.stream) yield chunk as Uint8Array;
    // Its end may come long before that of the source, and what is behind it counts.
    reading.noteEnd();
    await feeding;
  } catch (error) {
    if (sourceError === undefined) throw damaged(error, compression);
  } finally {
    reading.isOver = true;
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

/** One chunk at a time. Behind the last member of a gzip stream only zeros may stand (padding of tapes and blocks). */
async function feed(
  source: AsyncIterable<Uint8Array>,
  decoder: Decoder,
  reading: Reading,
): Promise<void> {
  const { stream } = decoder;
  let fedBytes = 0;
  let ended = false;
  for await (const chunk of source) {
    if (reading.isOver) return;
    if (ended || reading.hasEnded) {
      refuseGarbage(chunk);
      continue;
    }
    decoder.check(chunk);
    fedBytes += chunk.length;
    const hasFailed = await write(stream, chunk, reading);
    const unused = hasFailed ? 0 : fedBytes - stream.bytesWritten;
    ended = unused > 0 || reading.hasEnded;
    refuseGarbage(chunk.subarray(chunk.length - Math.max(0, unused)));
  }
  decoder.finish();
  stream.end();
}

/** How far whoever reads what comes out has got. */
class Reading {
  /** All of it was read. */
  hasEnded = false;
  /** Nobody wants more. */
  isOver = false;
  onEnd: () => void = () => undefined;

  noteEnd(): void {
    this.hasEnded = true;
    this.onEnd();
  }
}

/**
 * Resolves when the decoder took the chunk, or all of what it has to say was read: at its end it answers a write no
 * more. With true when it has failed: its error shows on the reading side.
 */
async function write(
  stream: Decoder["stream"],
  chunk: Uint8Array,
  reading: Reading,
): Promise<boolean> {
  return new Promise((resolve) => {
    reading.onEnd = () => resolve(false);
    stream.write(chunk, (error) => resolve(error instanceof Error));
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
