import * as v from "valibot";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request, type Request } from "../../../protocol/message.ts";
import {
  type Exit,
  type SessionAttachRequest,
  type SessionReply,
  sessionReplySchema,
} from "../../../protocol/session-message.ts";
import { SessionClient, type SessionEvent } from "../../../protocol/session-client.ts";
import { within } from "../../../system/within.ts";
import { answer } from "../link/answer.ts";
import { clientLimits } from "../limits.ts";
import type { AttestedLink, LinkConnection } from "../link/attested-link.ts";
import { overLink } from "../link/over-link.ts";
import { Wakeup } from "../link/wakeup.ts";

export interface SessionIo {
  /** Shows output; what it does not take yet holds the machine's process back. */
  output(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  lost(stream: "stdout" | "stderr", lostBytes: number): Promise<void>;
  /** Attached, for the first time or again. */
  attached?(reply: SessionReply, again: boolean): void;
}

/** Filled in as it becomes known, for whoever tells afterwards how it went. */
export interface SessionReport {
  session?: string;
  exit?: Exit;
}
/** A session is asked for, or somebody is asked first which one. */
export type FirstRequest = Request | ((connection: LinkConnection) => Promise<Request>);

export interface SessionPlan {
  /** Tried in order until one is not answered by `not-found`, `gone` or `already-exists`. */
  readonly first: readonly FirstRequest[];
  /** Name of this client process, as in the requests. */
  readonly client: string;
  readonly report?: SessionReport | undefined;
  readonly label?: string | undefined;
  readonly size?: () => { readonly rows: number; readonly cols: number };
}

/** One session over as many connections as it takes. Bytes are counted, so none is lost or shown twice. */
export class SessionRun {
  readonly #link: AttestedLink;
  readonly #plan: SessionPlan;
  readonly #io: SessionIo;
  readonly #client = new SessionClient();
  readonly #toSend = new Wakeup();
  readonly #room = new Wakeup();
  readonly #taken = new Wakeup();
  #reply: SessionReply | undefined;
  #mode: SessionAttachRequest["mode"] = "take-over";

  constructor(link: AttestedLink, plan: SessionPlan, io: SessionIo) {
    this.#link = link;
    this.#plan = plan;
    this.#io = io;
  }

  /** Set once the session is there; what a person needs to come back to it. */
  get id(): string | undefined {
    return this.#reply?.id;
  }

  /** How much of each output was given to `output`, or is lost. */
  get shown(): { readonly stdout_offset: number; readonly stderr_offset: number } {
    return this.#client.shownOffsets;
  }

  /** Resolves when the process has ended and all its output was shown. */
  async run(): Promise<Exit> {
    const exit = await overLink(this.#link, (connection) => this.#attach(connection));
    if (this.#plan.report !== undefined) this.#plan.report.exit = exit;
    return exit;
  }

  /** Stdin; resolves when it was taken, which is when the machine's process reads. */
  async feed(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      const room = this.#client.roomBytes;
      if (room === 0) {
        await this.#room.wait();
        continue;
      }
      // Copied: it is kept for resending while the caller's buffer is used again.
      this.#client.write(bytes.slice(from, from + room));
      from += room;
      this.#toSend.call();
    }
  }

  /** Resolves when the machine's process has all that was fed so far. For one caller. */
  async inputTaken(): Promise<void> {
    while (!this.#client.inputIsTaken) await this.#taken.wait();
  }

  endInput(): void {
    this.#client.end();
    this.#toSend.call();
  }

  resize(rows: number, cols: number): void {
    this.#client.resize(rows, cols);
    this.#toSend.call();
  }

  signal(signal: number): void {
    this.#client.signal(signal);
    this.#toSend.call();
  }

  /** What a closed terminal window does to its shell. Waits for the link; does nothing before there is a session. */
  async hangUp(): Promise<void> {
    if (this.#reply === undefined) return;
    const { id, generation } = this.#reply;
    await overLink(this.#link, async (connection) => {
      const frames = new FrameStream(await connection.openStream());
      const message = { type: "session-signal", session: id, generation, signal: 1 } as const;
      await answer(request(frames, { ...message, to: "program" }, v.object({})));
    });
  }

  async #attach(connection: LinkConnection): Promise<Exit> {
    const again = this.#reply !== undefined;
    const { frames, reply } = await this.#begin(connection);
    this.#reply = reply;
    if (this.#plan.report !== undefined) this.#plan.report.session = reply.id;
    this.#client.attached(reply);
    this.#io.attached?.(reply, again);
    const turn: Turn = { state: "open" };
    // Reading decides: a machine whose process is done may stop taking stdin before it says so.
    const writing = this.#write(frames, turn).catch(() => undefined);
    try {
      const exit = await this.#read(frames);
      // The acknowledgement is a kindness to the machine; it forgets by itself if this fails.
      this.#close(turn, "flush");
      await within(writing, clientLimits.farewellMs);
      return exit;
    } catch (error) {
      frames.stream.abort(0);
      throw error;
    } finally {
      this.#close(turn, "stop");
    }
  }

  #close(turn: Turn, state: "flush" | "stop"): void {
    turn.state = state;
    this.#toSend.call();
  }

  async #begin(connection: LinkConnection): Promise<{ frames: FrameStream; reply: SessionReply }> {
    const requests = this.#reply === undefined ? this.#plan.first : [this.#again(this.#reply)];
    let refused: RemoteError | undefined;
    for (const wanted of requests) {
      const message = typeof wanted === "function" ? await wanted(connection) : wanted;
      const frames = new FrameStream(await connection.openStream());
      try {
        const reply = await answer(request(frames, message, sessionReplySchema));
        this.#mode = message.type === "session-attach" ? message.mode : "take-over";
        return { frames, reply };
      } catch (error) {
        frames.stream.abort(0);
        if (!(error instanceof RemoteError) || !triesNext.has(error.code)) throw error;
        refused = error;
      }
    }
    throw refused ?? new RangeError("A session plan without a request");
  }

  /** Coming back never repeats the command: the generation says which process is meant. */
  #again(reply: SessionReply): Request {
    return {
      type: "session-attach",
      session: reply.id,
      client: this.#plan.client,
      generation: reply.generation,
      ...this.#client.shownOffsets,
      mode: this.#mode,
      ...(this.#plan.label === undefined ? {} : { client_label: this.#plan.label }),
      ...this.#plan.size?.(),
    };
  }

  async #read(frames: FrameStream): Promise<Exit> {
    for (;;) {
      const frame = await frames.read();
      if (frame === null) throw new StreamError("connection-lost", "The session's stream ended");
      const event = this.#client.receive(frame);
      const exit = await this.#handle(event);
      this.#toSend.call();
      if (exit !== undefined) return exit;
    }
  }

  async #handle(event: SessionEvent): Promise<Exit | undefined> {
    switch (event.kind) {
      case "output":
        if (event.bytes.length > 0) await this.#io.output(event.stream, event.bytes);
        return undefined;
      case "lost":
        if (event.lostBytes > 0) await this.#io.lost(event.stream, event.lostBytes);
        return undefined;
      case "room":
        this.#room.call();
        this.#taken.call();
        return undefined;
      case "error":
        throw event.error;
      case "exit":
        return event.exit;
    }
  }

  async #write(frames: FrameStream, turn: Turn): Promise<void> {
    while (turn.state !== "stop") {
      const frame = this.#client.poll();
      if (frame !== undefined) {
        await frames.writeEncoded(frame);
      } else if (turn.state === "flush") {
        await frames.stream.end();
        return;
      } else {
        await this.#toSend.wait();
      }
    }
  }
}

/** One connection's share of the session: `flush` sends what is left, `stop` leaves it for the next one. */
interface Turn {
  state: "open" | "flush" | "stop";
}

const triesNext: ReadonlySet<string> = new Set(["not-found", "gone", "already-exists"]);
