import { clientLimits } from "../limits.ts";
import {
  decodeMessage,
  encodeMessage,
  type LinkNews,
  type LinkWish,
  linkWishSchema,
} from "./link-message.ts";
import type { SharedFrames } from "./shared-frame.ts";

/** A command at the background link's socket, as the link sees it. */
export class LinkClient {
  readonly verbose: number;
  readonly #frames: SharedFrames;
  #waiting = 0;

  constructor(frames: SharedFrames, verbose: number) {
    this.#frames = frames;
    this.verbose = verbose;
  }

  /** One that does not listen is left: it will think the link lost and come back. */
  tell(news: LinkNews): void {
    if (this.#waiting >= clientLimits.linkNoticesMax) {
      this.#frames.close();
      return;
    }
    this.#waiting += 1;
    this.#frames
      .write(encodeMessage(news))
      .catch(() => undefined)
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  /** What it wishes next, or null when it is gone. Rejects with `WireError` or `StreamError`. */
  async next(): Promise<LinkWish | null> {
    const frame = await this.#frames.read();
    return frame === null ? null : decodeMessage(linkWishSchema, frame);
  }
}
