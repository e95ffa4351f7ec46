import { decodeArchiveData } from "../../src/protocol/archive-frame.ts";
import { ArchiveRecipe } from "../../src/protocol/archive-recipe.ts";
import { RemoteError } from "../../src/protocol/errors.ts";
import { type Frame, type FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { encodeJson, type Progress, type ProvisionRequest } from "../../src/protocol/message.ts";
import { allOf } from "./delta-archive.ts";

export type LackingAnswer = (recipe: ArchiveRecipe) => Uint8Array;

/** As much of an archive as came, over however many streams. */
export class TestUpload {
  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #chunks: Uint8Array[] = [];
  readonly #lackingOf: LackingAnswer;
  bytes = 0;
  isWhole = false;
  isCancelled = false;
  #digest: string | undefined;

  /** A machine that is sent a recipe lacks all of it, unless it says something else. */
  constructor(lackingOf: LackingAnswer = (recipe) => allOf(recipe).bytes) {
    this.#lackingOf = lackingOf;
  }

  /** To its end, or false where the client leaves. */
  async receive(
    frames: FrameStream,
    source: ProvisionRequest["source"],
    beforeEach: () => Promise<void>,
  ): Promise<boolean> {
    if (source.kind === "url" || source.kind === "previous") return true;
    let recipeBytes = source.kind === "delta" ? source.recipe_bytes : Infinity;
    while (!this.isWhole) {
      await beforeEach();
      if (this.bytes >= recipeBytes) {
        const recipe = new ArchiveRecipe(this.content.subarray(0, recipeBytes));
        await frames.write(frameTypes.lacking, this.#lackingOf(recipe));
        recipeBytes = Infinity;
      }
      const frame = await frames.read();
      if (frame === null) return false;
      this.take(frame);
    }
    return true;
  }

  take({ type, payload }: Frame): void {
    this.isWhole = type === frameTypes.dataEnd;
    if (this.isWhole) return;
    const { offset, bytes } = decodeArchiveData(payload);
    if (offset !== this.bytes) throw new RemoteError("bad-request", "Twice, or a hole");
    this.#hash.update(bytes);
    this.#chunks.push(bytes.slice());
    this.bytes += bytes.length;
  }

  /** All of it. */
  get content(): Uint8Array {
    return Buffer.concat(this.#chunks);
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
