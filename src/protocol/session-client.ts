import type { RemoteError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import type { Exit, SessionReply } from "./session-message.ts";
import { decodeServerFrame, encodeSessionFrame, type OutputName } from "./session-frame.ts";
import { InputSender } from "./session-input.ts";
import { OutputView } from "./session-view.ts";

/**
 * Client's end of a session, over all its connections: frames in, frames out. The driver reads stdin
 * while `roomBytes` is above 0, sends what `poll` gives, shows what `receive` gives, and after a
 * lost connection attaches again with `shownOffsets` and goes on.
 */
export class SessionClient {
  readonly #input: InputSender;
  readonly #views: Readonly<Record<OutputName, OutputView>>;
  #size: { readonly rows: number; readonly cols: number } | undefined;
  readonly #signals = new Set<number>();
  #exitAckDue = false;

  constructor(options: { readonly windowBytes?: number; readonly ackBytes?: number } = {}) {
    this.#input = new InputSender(options.windowBytes);
    this.#views = {
      stdout: new OutputView(0, options.ackBytes),
      stderr: new OutputView(0, options.ackBytes),
    };
  }

  /** For the next `session-attach`. */
  get shownOffsets(): { readonly stdout_offset: number; readonly stderr_offset: number } {
    return {
      stdout_offset: this.#views.stdout.shownOffset,
      stderr_offset: this.#views.stderr.shownOffset,
    };
  }

  /** How much stdin `write` takes now; at 0 stdin is not read. */
  get roomBytes(): number {
    return this.#input.roomBytes;
  }

  /** The process has all of stdin so far. */
  get inputIsTaken(): boolean {
    return this.#input.isTaken;
  }

  /** The reply to `session-open` or `session-attach` came: stdin goes on where the server stands. */
  attached(reply: Pick<SessionReply, "stdin_offset" | "view">): void {
    this.#input.resume(reply.stdin_offset);
    if (reply.view === undefined) return;
    this.#views.stdout.beginAt(reply.view.stdout_offset);
    this.#views.stderr.beginAt(reply.view.stderr_offset);
  }

  /** Stdin, at most `roomBytes`. */
  write(bytes: Uint8Array): void {
    this.#input.write(bytes);
  }

  /** End of stdin. */
  end(): void {
    this.#input.end();
  }

  /** Only the newest size counts; the driver also puts it into an attach request. */
  resize(rows: number, cols: number): void {
    this.#size = { rows, cols };
  }

  /** Sent once: one that a lost connection swallowed is not repeated, nor is one that waits already. */
  signal(signal: number): void {
    this.#signals.add(signal);
  }

  /** What to do with a frame of the server. Throws `WireError` or `ProtocolError`. */
  receive(raw: Frame): SessionEvent {
    const frame = decodeServerFrame(raw);
    switch (frame.kind) {
      case "stdout":
      case "stderr": {
        const bytes = this.#views[frame.kind].receive(frame.offset, frame.bytes);
        return { kind: "output", stream: frame.kind, bytes };
      }
      case "gap": {
        const lostBytes = this.#views[frame.stream].skip(frame.from, frame.to);
        return { kind: "lost", stream: frame.stream, lostBytes };
      }
      case "stdin-ack":
        this.#input.acknowledge(frame.offset);
        return { kind: "room" };
      case "exit":
        this.#exitAckDue = true;
        return frame;
      case "error":
        return frame;
    }
  }

  /** The next frame to send, or undefined until there is something. */
  poll(): Uint8Array<ArrayBuffer> | undefined {
    return (
      this.#pollControl() ?? this.#pollAck("stdout") ?? this.#pollAck("stderr") ?? this.#pollInput()
    );
  }

  #pollControl(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#exitAckDue) {
      this.#exitAckDue = false;
      return encodeSessionFrame({ kind: "exit-ack" });
    }
    const [signal] = this.#signals;
    if (signal !== undefined) {
      this.#signals.delete(signal);
      return encodeSessionFrame({ kind: "signal", signal });
    }
    const size = this.#size;
    this.#size = undefined;
    return size === undefined ? undefined : encodeSessionFrame({ kind: "resize", ...size });
  }

  #pollAck(stream: OutputName): Uint8Array<ArrayBuffer> | undefined {
    const offset = this.#views[stream].dueAck();
    return offset === undefined
      ? undefined
      : encodeSessionFrame({ kind: "output-ack", stream, offset });
  }

  #pollInput(): Uint8Array<ArrayBuffer> | undefined {
    const send = this.#input.next();
    return send === undefined ? undefined : encodeSessionFrame(send);
  }
}

export type SessionEvent =
  /** To be shown; empty when all of it was shown before. */
  | { readonly kind: "output"; readonly stream: OutputName; readonly bytes: Uint8Array }
  /** So much output is gone for good; 0 when that was told before. */
  | { readonly kind: "lost"; readonly stream: OutputName; readonly lostBytes: number }
  /** `roomBytes` may have grown. */
  | { readonly kind: "room" }
  | { readonly kind: "exit"; readonly exit: Exit }
  | { readonly kind: "error"; readonly error: RemoteError };
