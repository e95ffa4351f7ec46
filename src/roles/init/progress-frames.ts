import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson, type Progress } from "../../protocol/message.ts";
import { Wake } from "./wake.ts";

/** Sends the newest state of things, as fast as the client takes them and no faster than it can read. */
export class ProgressFrames {
  readonly #frames: FrameStream;
  readonly #wake = new Wake();
  readonly #sending: Promise<void>;
  #fresh: Progress | undefined;
  #lacking: Uint8Array | undefined;
  #stopped = false;

  constructor(frames: FrameStream) {
    this.#frames = frames;
    this.#sending = this.#send().catch(() => undefined);
  }

  /** `lacking`: what the client waits for besides, once. */
  show(progress: Progress, lacking?: Uint8Array): void {
    this.#fresh = progress;
    this.#lacking ??= lacking;
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
      const [fresh, lacking] = [this.#fresh, this.#lacking];
      this.#fresh = undefined;
      this.#lacking = undefined;
      if (lacking !== undefined) await this.#frames.write(frameTypes.lacking, lacking);
      if (fresh !== undefined) await this.#frames.write(frameTypes.progress, encodeJson(fresh));
      if (this.#stopped) return;
      await Bun.sleep(progressEveryMs);
    }
  }
}

const progressEveryMs = 100;
