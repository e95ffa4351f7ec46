import { StreamError } from "../../../protocol/byte-stream.ts";
import { ProtocolError, RemoteError, WireError } from "../../../protocol/errors.ts";
import { type Frame, type FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { encodeJson } from "../../../protocol/message.ts";
import { type SshRequest } from "../../../protocol/ssh-message.ts";
import { type SshReply } from "../../../protocol/ssh-message.ts";
import { ResumableStream } from "../../../protocol/resumable-stream.ts";
import { Wake } from "../wake.ts";
import { SshTransport } from "./ssh-transport.ts";

/** One SSH connection over as many streams as its client needs, the last one taking over. */
export class SshConnection {
  readonly transport: SshTransport;
  readonly #stream = new ResumableStream();
  readonly #toSend = new Wake();
  #frames: FrameStream | undefined;
  #clientEnded = false;
  #isOver = false;
  /** By a clock that nobody sets; undefined while a client is here. */
  #awaySinceMs: number | undefined = 0;

  constructor() {
    this.transport = new SshTransport(this.#stream, () => this.#toSend.notify());
    // Whatever it is, ssh2 has said so to its own listeners.
    this.transport.on("error", () => undefined);
  }

  get awaySinceMs(): number | undefined {
    return this.#awaySinceMs;
  }

  /** All was said in both directions, and the client knows. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Serves it over this stream until one of the two ends. Throws `RemoteError` for an offset that cannot be. */
  async serve(
    frames: FrameStream,
    { received }: SshRequest,
    reply: Omit<SshReply, "received">,
  ): Promise<void> {
    try {
      this.#stream.resume(received);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      throw new RemoteError("gone", "That SSH connection is not the one it was");
    }
    this.#frames?.stream.abort(0);
    this.#frames = frames;
    this.#awaySinceMs = undefined;
    this.#toSend.notify();
    try {
      const answer: SshReply = { ...reply, received: this.#stream.receivedOffset };
      await frames.write(frameTypes.ok, encodeJson(answer));
      await Promise.all([this.#send(frames), this.#receive(frames)]);
      this.#isOver = true;
    } catch (error) {
      frames.stream.abort(0);
      if (error instanceof StreamError) return;
      // Nothing that comes after it can be understood.
      this.transport.destroy();
      throw error;
    } finally {
      if (this.#frames === frames) this.#leave();
    }
  }

  close(): void {
    this.#isOver = true;
    this.transport.destroy();
    this.#frames?.stream.abort(0);
  }

  #leave(): void {
    this.#frames = undefined;
    this.#awaySinceMs = performance.now();
  }

  /** Until our end is sent, or another stream has taken over. */
  async #send(frames: FrameStream): Promise<void> {
    while (this.#frames === frames) {
      const frame = this.#stream.poll();
      if (frame === undefined) {
        await this.#toSend.wait();
        continue;
      }
      await frames.writeEncoded(frame);
      if (frame[0] === frameTypes.sshEnd) {
        await frames.stream.end();
        return;
      }
    }
    throw new StreamError("aborted", "Another stream has this connection now");
  }

  /** Until the client has ended its half of the stream. */
  async #receive(frames: FrameStream): Promise<void> {
    for (;;) {
      const frame = await readFrame(frames);
      if (frame === null) {
        // Without its end having come it is the loss of a link.
        if (this.#clientEnded) return;
        throw new StreamError("connection-lost", "The stream ended");
      }
      if (this.#frames !== frames) return;
      const event = this.#stream.receive(frame);
      if (event.kind === "data") this.transport.receive(event.bytes);
      else if (event.kind === "room") this.transport.roomChanged();
      else {
        this.#clientEnded = true;
        this.transport.receiveEnd();
      }
    }
  }
}

/** A link that is killed leaves half a frame behind: that is a stream that was lost, no broken client. */
async function readFrame(frames: FrameStream): Promise<Frame | null> {
  try {
    return await frames.read();
  } catch (error) {
    if (error instanceof WireError) throw new StreamError("connection-lost", error.message);
    throw error;
  }
}
