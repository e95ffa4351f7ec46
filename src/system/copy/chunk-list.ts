import { readSync } from "node:fs";
import { ChunkCutter } from "../../protocol/content-chunks.ts";
import type { FileChunk, FileMessage } from "../../protocol/file-message.ts";
import { limits } from "../../protocol/limits.ts";
import { chunkDigest } from "./chunk-places.ts";
import { copyLimits } from "./copy-limits.ts";

/** The chunks of a file that is there, as messages; of one too large only the first. */
export function* listChunks(
  fd: number,
  id: number,
  averageBits: number,
): Generator<FileMessage | "working", void, undefined> {
  const cutter = new ChunkCutter(averageBits);
  const window = Buffer.allocUnsafe(2 ** averageBits * 4 + copyLimits.hashStepBytes);
  let chunks: FileChunk[] = [];
  let [length, searched, offset, count] = [0, 0, 0, 0];
  const add = (bytes: Uint8Array): void => {
    count += 1;
    chunks.push({ length: bytes.length, digest: chunkDigest(bytes) });
  };
  for (;;) {
    const read = readSync(fd, window, length, window.length - length, offset + length);
    length += read;
    let begin = 0;
    while (searched < length && count < limits.fileChunksMax) {
      const cut = cutter.cut(window.subarray(0, length), searched);
      searched = cut < 0 ? length : cut;
      if (cut < 0) break;
      add(window.subarray(begin, cut));
      begin = cut;
    }
    const isLast = read === 0 || count === limits.fileChunksMax;
    if (read === 0 && begin < length) add(window.subarray(begin, length));
    while (chunks.length > (isLast ? 0 : limits.fileChunksPerFrameMax)) {
      yield { type: "chunks", id, chunks: chunks.slice(0, limits.fileChunksPerFrameMax) };
      chunks = chunks.slice(limits.fileChunksPerFrameMax);
    }
    if (isLast) return;
    window.copyWithin(0, begin, length);
    length -= begin;
    offset += begin;
    searched = length;
    yield "working";
  }
}
