import * as v from "valibot";
import { Failure } from "../../../cli/failure.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request, type Request } from "../../../protocol/message.ts";
import { late, within } from "../../../system/within.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { clientLimits } from "../limits.ts";
import { isLinkLoss } from "../link/over-link.ts";

/** The way to the vault for connections that come whenever they like: before the link, or while it is down. */
export class ForwardDoor {
  readonly vault: string;
  readonly #waitMs: number;
  readonly #link = Promise.withResolvers<AttestedLink>();

  constructor(vault: string, waitMs: number = clientLimits.forwardWaitMs) {
    this.vault = vault;
    this.#waitMs = waitMs;
  }

  use(link: AttestedLink): void {
    this.#link.resolve(link);
  }

  async link(): Promise<AttestedLink> {
    return this.#link.promise;
  }

  /**
   * A stream whose request was granted. Nothing has passed over it before, so it is asked for again
   * when the link is lost on the way. Rejects with `RemoteError` or `Failure`.
   */
  async open(message: Request): Promise<FrameStream> {
    const untilMs = performance.now() + this.#waitMs;
    for (let failures = 0; ; failures += 1) {
      const connecting = this.#link.promise.then(async (link) => ({
        link,
        connection: await link.connection(),
      }));
      const standing = await within(connecting, Math.max(0, untilMs - performance.now()));
      if (standing === late) throw new Failure("FV-NET-003", `the link to "${this.vault}" is down`);
      const { link, connection } = standing;
      try {
        const frames = new FrameStream(await connection.openStream());
        return await granted(frames, message);
      } catch (error) {
        if (!isLinkLoss(error) || performance.now() >= untilMs) throw error;
        if (link.isCurrent(connection)) await link.pause(failures);
      }
    }
  }
}

async function granted(frames: FrameStream, message: Request): Promise<FrameStream> {
  try {
    await answer(request(frames, message, v.object({})));
    return frames;
  } catch (error) {
    frames.stream.abort(0);
    throw error;
  }
}
