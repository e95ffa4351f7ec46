import { RemoteError } from "../../protocol/errors.ts";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import type { ForwardAcceptRequest, ForwardRequest } from "../../protocol/forward-message.ts";
import { encodeJson } from "../../protocol/message.ts";
import { splice } from "../../system/splice.ts";
import { tellResets } from "../../system/tcp-stream.ts";
import { connectGuestSocket } from "./guest-socket.ts";
import { initLimits } from "./limits.ts";
import { RemoteListeners } from "./remote-listeners.ts";

/**
 * The forwards that the keeper serves rather than the link: those to sockets by their path, since the
 * keeper alone holds the guest's root folder, and those that listen, since they outlive a link.
 */
export class GuestForwards {
  readonly #rootFolder: () => number;
  readonly #listeners: RemoteListeners;
  #connections = 0;

  /** `rootFolder` of the workload; throws `RemoteError` where none runs. */
  constructor(rootFolder: () => number) {
    this.#rootFolder = rootFolder;
    this.#listeners = new RemoteListeners(rootFolder);
  }

  /** The stream after the request, reply included. */
  async serve(frames: FrameStream, request: ForwardRequest): Promise<void> {
    switch (request.type) {
      case "forward-unix":
        return this.#join(frames, async () =>
          connectGuestSocket(this.#rootFolder(), request.path, initLimits.forwardConnectMs),
        );
      case "forward-listen":
        return this.#listeners.serve(frames, request);
      case "forward-accept":
        return this.#accept(frames, request);
      case "forward":
      case "forward-udp":
        throw new RemoteError("unsupported", "Other forwards are the link's");
    }
  }

  /** The workload stops. */
  leaveRoot(): void {
    this.#listeners.closeUnix();
  }

  close(): void {
    this.#listeners.close();
  }

  async #accept(frames: FrameStream, request: ForwardAcceptRequest): Promise<void> {
    if (request.refuse === true) {
      this.#listeners.take(request).abort(0);
      await frames.write(frameTypes.ok, encodeJson({}));
      return;
    }
    await this.#join(frames, async () => this.#listeners.take(request));
  }

  async #join(frames: FrameStream, open: () => Promise<ByteStream>): Promise<void> {
    if (this.#connections >= initLimits.guestForwardsMax)
      throw new RemoteError("limit", `${initLimits.guestForwardsMax} of these forwards are open`);
    this.#connections += 1;
    try {
      const connection = await open();
      await frames.write(frameTypes.ok, encodeJson({})).catch((error: unknown) => {
        connection.abort(0);
        throw error;
      });
      // The link gives up what its client has reset.
      tellResets(frames.stream);
      await splice(frames.release(), connection);
    } finally {
      this.#connections -= 1;
    }
  }
}
