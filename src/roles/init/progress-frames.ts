import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson, type Progress } from "../../protocol/message.ts";
import { Wake } from "./wake.ts";

/** Sends the newest state of things, as fast as the client takes them and no faster than it can read. */
export class ProgressFrames {
  readonly #frames: FrameStream;
  readonly #wake = new Wake();
  readonly #sending: Promise<void>;
  #fresh: Progress | undefined;
  #stopped = false;

  constructor(frames: FrameStream) {
    this.#frames = frames;
    this.#sending = this.#send().catch(() => undefined);
  }

  show(progress: Progress): void {
    this.#fresh = progress;
    this.#wake.notify();
  }

  /** What is fresh is still sent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake.notify();
    await this.#sending;
  }

  async #send(): Promise<void> {
    for (;;) {
      await this.#wake.wait();
      const fresh = this.#fresh;
      this.#fresh = undefined;
      if (fresh !== undefined) await this.#frames.write(frameTypes.progress, encodeJson(fresh));
      if (this.#stopped) return;
      await Bun.sleep(progressEveryMs);
    }
  }
}

const progressEveryMs = 100;
