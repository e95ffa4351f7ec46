import { decodeArchiveData } from "../../src/protocol/archive-frame.ts";
import { RemoteError } from "../../src/protocol/errors.ts";
import { type Frame, type FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { encodeJson, type Progress } from "../../src/protocol/message.ts";

/** As much of an archive as came, over however many streams. */
export class TestUpload {
  readonly #hash = new Bun.CryptoHasher("sha256");
  bytes = 0;
  isWhole = false;
  isCancelled = false;
  #digest: string | undefined;

  take({ type, payload }: Frame): void {
    this.isWhole = type === frameTypes.dataEnd;
    if (this.isWhole) return;
    const { offset, bytes } = decodeArchiveData(payload);
    if (offset !== this.bytes) throw new RemoteError("bad-request", "Twice, or a hole");
    this.#hash.update(bytes);
    this.bytes += bytes.length;
  }

  get digest(): string {
    this.#digest ??= this.#hash.digest("hex");
    return this.#digest;
  }
}

export async function progress(
  frames: FrameStream,
  { phase, received_bytes }: Pick<Progress, "phase" | "received_bytes">,
): Promise<void> {
  const body = { phase, received_bytes, entries: 1, written_bytes: 2 };
  await frames.write(frameTypes.progress, encodeJson(body));
}
