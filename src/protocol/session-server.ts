import { ProtocolError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { limits } from "./limits.ts";
import type { Exit } from "./session-message.ts";
import { OutputFeed } from "./session-feed.ts";
import { type ClientFrame, decodeClientFrame, encodeSessionFrame } from "./session-frame.ts";
import type { OutputName } from "./session-frame.ts";
import { InputReceiver } from "./session-input.ts";
import { type OutputBudget, OutputRing } from "./session-output.ts";

export interface SessionStateOptions {
  readonly budget: OutputBudget;
  readonly ringBytes?: number;
  readonly inputWindowBytes?: number;
  readonly clientsMax?: number;
}

/** The byte streams of one session and its clients' positions in them; outlives every connection. */
export class SessionState {
  readonly stdout: OutputRing;
  /** Stays empty on a terminal, which has one output. */
  readonly stderr: OutputRing;
  readonly #inputWindowBytes: number;
  readonly #clientsMax: number;
  readonly #clients = new Map<string, ClientPositions>();
  #exit: Exit | undefined;

  constructor(options: SessionStateOptions) {
    this.stdout = new OutputRing(options.budget, options.ringBytes);
    this.stderr = new OutputRing(options.budget, options.ringBytes);
    for (const name of ["stdout", "stderr"] as const)
      this[name].neededFrom = () => this.#neededFrom(name);
    this.#inputWindowBytes = options.inputWindowBytes ?? limits.stdinWindowBytes;
    this.#clientsMax = options.clientsMax ?? limits.inputsMax;
  }

  /** Set once the process has ended; `exit` is sent after the last byte of both outputs. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** The process has ended and all its output was appended. */
  finish(exit: Exit): void {
    this.stdout.finish();
    this.stderr.finish();
    this.#exit = exit;
  }

  /**
   * How much may be read from the process now. A client that holds the session back loses nothing: no
   * more is read than the ring can keep for it. Without one the process runs free and the oldest
   * output gives way.
   */
  readableBytes(name: OutputName): number {
    const ring = this[name];
    return ring.roomBefore(Math.min(ring.endOffset, this.#neededFrom(name)));
  }

  /** One more connection of a new or a known client. Throws `ProtocolError` for offsets never reached. */
  attach(client: AttachingClient): SessionAttachment {
    this.#check(client.shown);
    const known = this.#clients.get(client.id);
    const positions: ClientPositions = {
      input: known?.input ?? new InputReceiver(this.#inputWindowBytes),
      shown: { ...client.shown },
      holdsBack: client.holdsBack,
      isAway: false,
    };
    this.#clients.set(client.id, positions);
    this.#forgetOldest();
    return new SessionAttachment(this, positions);
  }

  /**
   * A connection that reads along without becoming a client: it takes no place, and nobody waits for
   * it. Begins at `shown`, or later where no more than a tail is asked for. Throws `ProtocolError` as
   * `attach`.
   */
  view(shown: OutputOffsets, tail: OutputTail = {}): ViewAttachment {
    this.#check(shown);
    const begin = (name: OutputName): number => {
      const { bytes = Number.POSITIVE_INFINITY, lines } = tail;
      const ring = this[name];
      const byLines = lines === undefined ? 0 : ring.offsetOfLastLines(lines);
      return Math.max(shown[name], ring.endOffset - bytes, byLines);
    };
    return new ViewAttachment(this, { stdout: begin("stdout"), stderr: begin("stderr") });
  }

  /** The client has no connection any more. Its stdin position stays, and it is still waited for. */
  leave(clientId: string): void {
    const positions = this.#clients.get(clientId);
    if (positions === undefined) return;
    positions.isAway = true;
    // Behind those that left before.
    this.#clients.delete(clientId);
    this.#clients.set(clientId, positions);
    this.#forgetOldest();
  }

  /** No other client need be waited for any more: one took over, or the last was away too long. */
  releaseAllBut(clientId: string | undefined): void {
    for (const [id, positions] of this.#clients) {
      if (id !== clientId) positions.holdsBack = false;
    }
  }

  /** Whether both outputs give way to others when memory is short, before any that is not expendable. */
  set expendable(expendable: boolean) {
    this.stdout.expendable = expendable;
    this.stderr.expendable = expendable;
  }

  /** Gives the memory of both outputs back. */
  close(): void {
    this.stdout.close();
    this.stderr.close();
    this.#clients.clear();
  }

  #neededFrom(name: OutputName): number {
    let offset = Number.POSITIVE_INFINITY;
    for (const client of this.#clients.values()) {
      if (client.holdsBack) offset = Math.min(offset, client.shown[name]);
    }
    return offset;
  }

  #check(shown: OutputOffsets): void {
    for (const name of ["stdout", "stderr"] as const) {
      if (shown[name] > this[name].endOffset)
        throw new ProtocolError(`The client claims output that was never written to ${name}`);
    }
  }

  /** The one longest away, and nobody who is there. */
  #forgetOldest(): void {
    if (this.#clients.size <= this.#clientsMax) return;
    const [oldest] = [...this.#clients].find(([, { isAway }]) => isAway) ?? [];
    if (oldest !== undefined) this.#clients.delete(oldest);
  }
}

export type OutputOffsets = Readonly<Record<OutputName, number>>;

/** The end of each output that is wanted; all of it where neither is given. */
export interface OutputTail {
  readonly bytes?: number | undefined;
  readonly lines?: number | undefined;
}

export interface AttachingClient {
  /** `client` of the request. */
  readonly id: string;
  /** `stdout_offset` and `stderr_offset` of the request; zeros for a session just opened. */
  readonly shown: OutputOffsets;
  /** Whether the process waits for this client when the ring is full; false for those who only watch. */
  readonly holdsBack: boolean;
}

/** Server's end of one connection to a session: frames in, frames out. */
export class SessionAttachment {
  readonly #positions: ClientPositions;
  readonly #feed: OutputFeed;
  #ackSent = 0;

  constructor(session: SessionState, positions: ClientPositions) {
    this.#positions = positions;
    this.#feed = new OutputFeed(session, positions.shown);
  }

  /** `stdin_offset` of the reply. */
  get stdinOffset(): number {
    return this.#positions.input.receivedOffset;
  }

  /** The client's half: what to do with a frame it sent. Throws `WireError` or `ProtocolError`. */
  receive(raw: Frame): AttachmentEvent {
    const frame = decodeClientFrame(raw);
    const input = this.#positions.input;
    switch (frame.kind) {
      case "stdin":
        return { kind: "stdin", bytes: input.receive(frame.offset, frame.bytes) };
      case "stdin-end":
        return this.#endInput(frame.offset);
      case "output-ack":
        this.#acknowledge(frame.stream, frame.offset);
        return { kind: "room" };
      case "exit-ack":
        this.#feed.checkExitAck();
        return frame;
      case "resize":
      case "signal":
        return frame;
    }
  }

  /** The process took (or will never take) the next bytes of this client's stdin. */
  stdinTaken(byteCount: number): void {
    this.#positions.input.taken(byteCount);
  }

  /** The next frame to send, or undefined until there is more output, more stdin was taken or the process ended. */
  poll(): Uint8Array<ArrayBuffer> | undefined {
    return this.#pollAck() ?? this.#feed.poll();
  }

  /** Told once: a terminal would take a second end for a second Ctrl-D. */
  #endInput(totalBytes: number): AttachmentEvent {
    const { input } = this.#positions;
    const known = input.ended;
    input.end(totalBytes);
    return known ? { kind: "stdin", bytes: new Uint8Array(0) } : { kind: "stdin-end" };
  }

  #acknowledge(name: OutputName, offset: number): void {
    this.#feed.checkAck(name, offset);
    const { shown } = this.#positions;
    shown[name] = Math.max(shown[name], offset);
  }

  #pollAck(): Uint8Array<ArrayBuffer> | undefined {
    const offset = this.#positions.input.takenOffset;
    if (offset === this.#ackSent) return undefined;
    this.#ackSent = offset;
    return encodeSessionFrame({ kind: "stdin-ack", offset });
  }
}

/** Server's end of one connection that reads along. */
export class ViewAttachment {
  /** Where each stream begins on this connection. */
  readonly begin: OutputOffsets;
  /** How far each was written when it began: where one who does not follow stops. */
  readonly end: OutputOffsets;
  readonly #feed: OutputFeed;

  constructor(session: SessionState, begin: OutputOffsets) {
    this.begin = begin;
    this.end = { stdout: session.stdout.endOffset, stderr: session.stderr.endOffset };
    this.#feed = new OutputFeed(session, begin);
  }

  /** A viewer may acknowledge, which means nothing before the exit. Throws `WireError` or `ProtocolError`. */
  receive(raw: Frame): Extract<AttachmentEvent, { readonly kind: "room" | "exit-ack" }> {
    const frame = decodeClientFrame(raw);
    switch (frame.kind) {
      case "output-ack":
        this.#feed.checkAck(frame.stream, frame.offset);
        return { kind: "room" };
      case "exit-ack":
        this.#feed.checkExitAck();
        return frame;
      default:
        throw new ProtocolError(`A viewer sent ${frame.kind}`);
    }
  }

  /** The next frame to send, or undefined until there is more output or the process ended. */
  poll(): Uint8Array<ArrayBuffer> | undefined {
    return this.#feed.poll();
  }
}

export type AttachmentEvent =
  /** For the process; empty when all of it had arrived before. Report it with `stdinTaken`. */
  | { readonly kind: "stdin"; readonly bytes: Uint8Array }
  | { readonly kind: "stdin-end" }
  /** `readableBytes` may have grown. */
  | { readonly kind: "room" }
  | Extract<ClientFrame, { readonly kind: "resize" | "signal" | "exit-ack" }>;

interface ClientPositions {
  readonly input: InputReceiver;
  readonly shown: Record<OutputName, number>;
  holdsBack: boolean;
  isAway: boolean;
}
