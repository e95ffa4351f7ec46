import { StreamError } from "../../../protocol/byte-stream.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import {
  type Exit,
  type SessionOpenRequest,
  sessionReplySchema,
} from "../../../protocol/session-message.ts";
import { SessionClient } from "../../../protocol/session-client.ts";
import { connectUnix } from "../../../system/tcp-stream.ts";
import { within } from "../../../system/within.ts";
import * as v from "valibot";
import { askKeeper } from "../ask-keeper.ts";
import { initLimits } from "../limits.ts";
import { Wake } from "../wake.ts";
import type { ChannelStream } from "./channel-stream.ts";
import { sshLimits } from "./limits.ts";

/** One session of the keeper, joined to a channel: it ends when its channel does. */
export class SshSessionRun {
  readonly #keeperSocket: string;
  readonly #channel: ChannelStream;
  readonly #client = new SessionClient();
  readonly #toSend = new Wake();
  readonly #room = new Wake();
  #over = false;

  constructor(keeperSocket: string, channel: ChannelStream) {
    this.#keeperSocket = keeperSocket;
    this.#channel = channel;
  }

  /**
   * Resolves with the program's end, once all its output is with the client's window; with nothing
   * when the client closed the channel before. Rejects with `RemoteError` where it cannot be started.
   */
  async run(open: SessionOpenRequest): Promise<Exit | undefined> {
    const frames = await this.#connect();
    try {
      this.#client.attached(await request(frames, open, sessionReplySchema));
      void this.#send(frames);
      void this.#feed();
      const reading = this.#read(frames);
      const exit = await Promise.race([reading, this.#channel.closed.then(() => undefined)]);
      if (exit === undefined) await this.#hangUp(open, reading);
      return exit;
    } finally {
      this.#over = true;
      this.#toSend.notify();
      this.#room.notify();
      // Its end is noted, if it has ended.
      await within(frames.stream.end(), sshLimits.closingMs);
      frames.stream.abort(0);
    }
  }

  resize(rows: number, cols: number): void {
    this.#client.resize(clampSize(rows), clampSize(cols));
    this.#toSend.notify();
  }

  signal(signal: number): void {
    this.#client.signal(signal);
    this.#toSend.notify();
  }

  async #connect(): Promise<FrameStream> {
    return new FrameStream(await connectUnix(this.#keeperSocket, initLimits.keeperConnectMs));
  }

  async #read(frames: FrameStream): Promise<Exit | undefined> {
    for (;;) {
      const frame = await frames.read();
      if (frame === null) throw new StreamError("connection-lost", "The session's stream ended");
      const event = this.#client.receive(frame);
      switch (event.kind) {
        case "output":
          await this.#show(event.stream, event.bytes);
          break;
        case "lost":
          break;
        case "room":
          this.#room.notify();
          break;
        case "error":
          throw event.error;
        case "exit":
          this.#toSend.notify();
          return event.exit;
      }
      this.#toSend.notify();
    }
  }

  /** After the channel has closed, output is for nobody; the program must not wait for that. */
  async #show(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    try {
      if (stream === "stdout") await this.#channel.write(bytes);
      else await this.#channel.writeError(bytes);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
  }

  async #send(frames: FrameStream): Promise<void> {
    try {
      for (;;) {
        const frame = this.#client.poll();
        if (frame !== undefined) await frames.writeEncoded(frame);
        else if (this.#over) return;
        else await this.#toSend.wait();
      }
    } catch (error) {
      // The reader has met the same.
      if (!(error instanceof StreamError)) throw error;
    }
  }

  async #feed(): Promise<void> {
    try {
      for (;;) {
        const bytes = await this.#channel.read();
        if (bytes === null) break;
        await this.#take(bytes);
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
    }
    this.#client.end();
    this.#toSend.notify();
  }

  async #take(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length && !this.#over) {
      const room = this.#client.roomBytes;
      if (room === 0) {
        await this.#room.wait();
        continue;
      }
      const slice = bytes.subarray(from, from + room);
      this.#client.write(slice);
      from += slice.length;
      this.#toSend.notify();
    }
  }

  /** As a terminal that goes: its foreground and its program are told. What ignores that goes on by itself. */
  async #hangUp(open: SessionOpenRequest, reading: Promise<unknown>): Promise<void> {
    const targets = open.tty ? (["foreground", "program"] as const) : (["program"] as const);
    for (const to of targets) await this.#tell(open.id, to);
    await within(
      reading.catch(() => undefined),
      sshLimits.closingMs,
    );
  }

  async #tell(session: string, to: "foreground" | "program"): Promise<void> {
    try {
      const message = { type: "session-signal", session, signal: hangUp, to } as const;
      await askKeeper(this.#keeperSocket, message, v.object({}));
    } catch {
      // It has ended by itself.
    }
  }
}

const hangUp = 1;

function clampSize(value: number): number {
  return Math.min(Math.max(Math.trunc(value), 1), 65_535);
}
