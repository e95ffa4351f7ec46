import type { ServerChannel } from "ssh2";
import { type ByteStream, StreamError } from "../../../protocol/byte-stream.ts";
import { Wake } from "../wake.ts";
import { sshLimits } from "./limits.ts";
import { type ChannelInside, insideOf } from "./ssh2-inside.ts";
import type { SshTransport } from "./ssh-transport.ts";

/**
 * A channel as a stream whose halves close apart. It writes past ssh2's own stream, which ends both
 * halves at once, sends old bytes again when stdout and stderr wait for the window together, and
 * never looks whether its connection takes what it writes.
 */
export class ChannelStream implements ByteStream {
  /** Resolves when the client has closed the channel, or the connection is over. */
  readonly closed: Promise<void>;
  readonly #channel: ServerChannel;
  readonly #inside: ChannelInside;
  readonly #transport: SshTransport;
  readonly #readable = new Wake();
  readonly #window = new Set<() => void>();
  #readEnded = false;
  #isClosed = false;
  #failure: StreamError | undefined;
  #writes: Promise<void> = Promise.resolve();

  constructor(channel: ServerChannel, transport: SshTransport) {
    this.#channel = channel;
    this.#transport = transport;
    this.#inside = insideOf(channel);
    this.#inside.limitReadAhead(sshLimits.channelBytesMax);
    channel.on("readable", () => this.#readable.notify());
    channel.on("end", () => {
      this.#readEnded = true;
      this.#readable.notify();
    });
    channel.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      this.#inside.onClosed(() => {
        this.#isClosed = true;
        this.#readable.notify();
        this.#wakeWriters();
        resolve();
      });
    });
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const bytes = this.#channel.read() as Uint8Array | null;
      if (bytes !== null) return bytes;
      if (this.#readEnded || this.#isClosed) return null;
      await this.#readable.wait();
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#inTurn(bytes, "data");
  }

  /** The other output, which only a session has. */
  async writeError(bytes: Uint8Array): Promise<void> {
    await this.#inTurn(bytes, "error");
  }

  async end(): Promise<void> {
    await this.#writes;
    this.#channel.eof();
  }

  /** Says no more, and wants to hear no more. */
  async close(): Promise<void> {
    await this.end();
    this.#inside.close();
  }

  abort(_code: number): void {
    this.#failure ??= new StreamError("aborted", "The channel was given up here");
    this.#inside.close();
    this.#readable.notify();
    this.#wakeWriters();
  }

  async #inTurn(bytes: Uint8Array, kind: "data" | "error"): Promise<void> {
    const turn = this.#writes.then(() => this.#write(bytes, kind));
    this.#writes = turn.catch(() => undefined);
    await turn;
  }

  async #write(bytes: Uint8Array, kind: "data" | "error"): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      await this.#transport.hasRoom();
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed || !this.#inside.isWritable)
        throw new StreamError("stopped", "The client has closed the channel");
      const count = this.#inside.send(bytes.subarray(from), kind);
      from += count;
      if (count === 0) await this.#untilWindow();
    }
  }

  async #untilWindow(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#window.add(resolve);
      this.#inside.onWindow(() => this.#wakeWriters());
    });
  }

  #wakeWriters(): void {
    for (const resolve of this.#window) resolve();
    this.#window.clear();
  }
}
