import { limits } from "../../../protocol/limits.ts";
import type { FileLook, RootfsFile } from "./rootfs-file.ts";

/** What a provisioning uploads: a stream of bytes that is the same each time it is made. */
export interface RootfsUpload {
  /**
   * From `offset` on, in pieces that fit a frame. `lacking` comes from the machine, for this connection,
   * and may never come; `signal`: nobody wants the rest any more. Rejects with `Failure`, also where the
   * file is not what it was, or `BetterWhole`.
   */
  bytes(
    offset: number,
    lacking: Promise<Uint8Array>,
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>;
  /** How far it is with all before `offset` sent; `totalBytes` undefined while that is not known. */
  progress(offset: number): { readonly bytes: number; readonly totalBytes: number | undefined };
}

/** The archive as it is takes less, or gets there at all. The message is the reason people are told. */
export class BetterWhole extends Error {
  override readonly name = "BetterWhole";
}

/** The file as it is. */
export class WholeUpload implements RootfsUpload {
  readonly #file: RootfsFile;
  readonly #look: FileLook;

  constructor(file: RootfsFile, look: FileLook) {
    this.#file = file;
    this.#look = look;
  }

  async *bytes(start: number): AsyncGenerator<Uint8Array> {
    for await (const bytes of this.content(start)) yield* inFrames(bytes);
  }

  /** The same in larger pieces, for who reads it here. */
  async *content(start: number): AsyncGenerator<Uint8Array> {
    await this.#file.mustBe(this.#look);
    for (let offset = start; ;) {
      const bytes = await this.#file.read(offset);
      if (bytes.length === 0) break;
      offset += bytes.length;
      yield bytes;
    }
    await this.#file.mustBe(this.#look);
  }

  progress(offset: number) {
    return { bytes: offset, totalBytes: this.#look.sizeBytes };
  }
}

/** In pieces that fit a frame. */
export function* inFrames(bytes: Uint8Array, from = 0): Generator<Uint8Array> {
  for (let at = from; at < bytes.length; at += limits.dataBytesMax)
    yield bytes.subarray(at, at + limits.dataBytesMax);
}
