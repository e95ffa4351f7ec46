import { describe, expect, test } from "bun:test";
import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import { rejection } from "./rejection.ts";
import { between, randomBytes, seed, seededRandom } from "./seed.ts";

export interface StreamPair {
  readonly near: ByteStream;
  readonly far: ByteStream;
}

export interface ContractOptions {
  /** What a writer can be ahead of a reader that does not read, all buffers together. */
  readonly bufferBytesMax: number;
  /** What the peer's read sees of an `abort`: its code (QUIC), that it broke (TCP), or no more than an end (Unix). */
  readonly abortReadsAs: "code" | "reset" | "end";
}

/** What every byte stream must do; the one in memory is held to it like the real ones. */
export function byteStreamContract(
  name: string,
  openPair: () => Promise<StreamPair>,
  options: ContractOptions,
): void {
  describe(`${name} keeps the contract of ByteStream`, () => {
    test("bytes arrive in order, both ways at once", async () => {
      const { near, far } = await openPair();
      const random = seededRandom(seed);
      const sent = randomBytes(random, 700_000);
      const back = randomBytes(random, 300_000);
      const results = await Promise.all([
        writeInPieces(near, sent, 50_000),
        writeInPieces(far, back, 3000),
        readAll(far),
        readAll(near),
      ]);
      expect(Buffer.compare(results[2], sent)).toBe(0);
      expect(Buffer.compare(results[3], back)).toBe(0);
    }, 120_000);

    test("each half ends apart, and stays ended", async () => {
      const { near, far } = await openPair();
      await near.write(Uint8Array.of(1));
      await near.end();
      await near.end();
      expect(await far.read()).toEqual(Uint8Array.of(1));
      expect(await far.read()).toBeNull();
      expect(await far.read()).toBeNull();
      await far.write(Uint8Array.of(2));
      expect(await near.read()).toEqual(Uint8Array.of(2));
      await far.end();
      expect(await near.read()).toBeNull();
    });

    test("writing after the end is refused", async () => {
      const { near, far } = await openPair();
      await near.end();
      expect(await rejection(near.write(Uint8Array.of(1)))).toBeInstanceOf(StreamError);
      far.abort(0);
    });

    test("an empty write is nothing", async () => {
      const { near, far } = await openPair();
      await near.write(new Uint8Array(0));
      await near.write(Uint8Array.of(7));
      expect(await far.read()).toEqual(Uint8Array.of(7));
      near.abort(0);
    });

    test("a peer that does not read stops the writer within the buffers", async () => {
      const { near, far } = await openPair();
      const piece = new Uint8Array(16_384);
      let written = 0;
      const writing = (async () => {
        while (written <= 2 * options.bufferBytesMax) {
          await near.write(piece);
          written += piece.length;
        }
      })().catch((error: unknown) => error);
      for (let before = -1; before !== written; await Bun.sleep(50)) before = written;
      expect(written).toBeLessThanOrEqual(options.bufferBytesMax);
      near.abort(0);
      expect(await writing).toBeInstanceOf(StreamError);
      far.abort(0);
    });

    test("abort fails both halves at both ends, also those that wait", async () => {
      const { near, far } = await openPair();
      await near.write(Uint8Array.of(1));
      expect(await far.read()).toEqual(Uint8Array.of(1));
      const nearReading = rejection(near.read());
      const farReading = far.read().catch((error: unknown) => error);
      near.abort(9);
      near.abort(9);
      expect(await nearReading).toMatchObject({ name: "StreamError", kind: "aborted" });
      const seen = await farReading;
      if (options.abortReadsAs === "end") expect(seen).toBeNull();
      else expect(seen).toMatchObject({ name: "StreamError", kind: "reset" });
      if (options.abortReadsAs === "code") expect(seen).toMatchObject({ resetCode: 9 });
      expect(await rejection(near.write(Uint8Array.of(1)))).toBeInstanceOf(StreamError);
      const refused = await rejection(writeUntilRefused(far));
      expect(refused).toBeInstanceOf(StreamError);
      if (options.abortReadsAs === "code")
        expect(refused).toMatchObject({ kind: "stopped", resetCode: 9 });
    });
  });
}

async function writeInPieces(
  stream: ByteStream,
  bytes: Uint8Array,
  pieceMax: number,
): Promise<void> {
  const random = seededRandom(seed + 1);
  for (let from = 0; from < bytes.length;) {
    const piece = bytes.slice(from, from + between(random, 1, pieceMax));
    await stream.write(piece);
    from += piece.length;
  }
  await stream.end();
}

async function readAll(stream: ByteStream): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let piece = await stream.read(); piece !== null; piece = await stream.read()) {
    if (piece.length === 0) throw new Error("read gave an empty array");
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The news of a reset needs a moment to arrive. */
async function writeUntilRefused(stream: ByteStream): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    await stream.write(Uint8Array.of(0));
    await Bun.sleep(10);
  }
}
