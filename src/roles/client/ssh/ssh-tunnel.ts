import { StreamError } from "../../../protocol/byte-stream.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import { type SshReply, sshReplySchema } from "../../../protocol/ssh-message.ts";
import { ResumableStream } from "../../../protocol/resumable-stream.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink, LinkConnection } from "../link/attested-link.ts";
import { overLink } from "../link/over-link.ts";
import { Wakeup } from "../link/wakeup.ts";

export interface SshTunnelIo {
  /** Before any byte of SSH is passed on: the host key, from a machine that was attested. */
  readonly onHostKey: (hostKey: string) => Promise<void>;
  /** What an ssh client sends, to its end. */
  readonly input: AsyncIterable<Uint8Array>;
  readonly output: (bytes: Uint8Array) => Promise<void>;
  /** Tunnels whose processes were killed: the machine need not keep anything for them. */
  readonly ended?: readonly string[];
}

/** One SSH connection over as many links as it takes: its two ends notice nothing of the loss of one. */
export class SshTunnel {
  readonly #link: AttestedLink;
  readonly #id: string;
  readonly #io: SshTunnelIo;
  readonly #stream = new ResumableStream();
  readonly #toSend = new Wakeup();
  readonly #room = new Wakeup();
  /** Of several that are on their way out only this one may change the stream. */
  #current: FrameStream | undefined;
  #begun = false;
  #serverEnded = false;

  constructor(link: AttestedLink, id: string, io: SshTunnelIo) {
    this.#link = link;
    this.#id = id;
    this.#io = io;
  }

  /** Resolves when both directions have ended. */
  async run(): Promise<void> {
    const broken = Promise.withResolvers<never>();
    const run = overLink(this.#link, (connection) => this.#attempt(connection, broken.reject));
    await Promise.race([run, broken.promise]);
  }

  async #attempt(connection: LinkConnection, fail: (error: unknown) => void): Promise<void> {
    const frames = new FrameStream(await connection.openStream());
    try {
      const reply = await this.#begin(frames);
      this.#stream.resume(reply.received);
      if (!this.#begun) {
        this.#begun = true;
        await this.#io.onHostKey(reply.host_key);
        this.#feed().catch(fail);
      }
      this.#toSend.call();
      this.#current = frames;
      await Promise.all([this.#send(frames), this.#receive(frames)]);
    } catch (error) {
      frames.stream.abort(0);
      this.#current = undefined;
      // A sender that waits would take the next one's turn.
      this.#toSend.call();
      throw error;
    }
  }

  async #begin(frames: FrameStream): Promise<SshReply> {
    const received = this.#stream.receivedOffset;
    const { ended = [] } = this.#io;
    const told = this.#begun || ended.length === 0 ? {} : { ended: [...ended] };
    return answer(
      request(frames, { type: "ssh", id: this.#id, received, ...told }, sshReplySchema),
    );
  }

  /** Of our end to the stream, over all links. */
  async #feed(): Promise<void> {
    for await (const bytes of this.#io.input) {
      let from = 0;
      while (from < bytes.length) {
        const room = this.#stream.roomBytes;
        if (room === 0) {
          await this.#room.wait();
          continue;
        }
        // Copied: it is kept for resending while the reader may use its buffer again.
        const slice = bytes.slice(from, from + room);
        this.#stream.write(slice);
        from += slice.length;
        this.#toSend.call();
      }
    }
    this.#stream.end();
    this.#toSend.call();
  }

  async #send(frames: FrameStream): Promise<void> {
    while (this.#current === frames) {
      const frame = this.#stream.poll();
      if (frame !== undefined) await frames.writeEncoded(frame);
      else if (this.#serverEnded) return frames.stream.end();
      else await this.#toSend.wait();
    }
  }

  async #receive(frames: FrameStream): Promise<void> {
    for (;;) {
      const frame = await frames.read();
      if (frame === null) {
        if (this.#serverEnded) return;
        throw new StreamError("connection-lost", "The SSH stream ended");
      }
      // What had come before the other half failed: the machine is asked for it once more.
      if (this.#current !== frames) return;
      const event = this.#stream.receive(frame);
      if (event.kind === "data") {
        await this.#io.output(event.bytes);
        this.#stream.taken(event.bytes.length);
      } else if (event.kind === "room") {
        this.#room.call();
      } else {
        this.#serverEnded = true;
        this.#stream.end();
      }
      this.#toSend.call();
    }
  }
}
