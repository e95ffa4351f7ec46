import { ProtocolError } from "./errors.ts";
import type { Exit } from "./session-message.ts";
import { encodeSessionFrame, type OutputName } from "./session-frame.ts";
import type { OutputRing } from "./session-output.ts";

/** What a feed reads: the outputs of a session, and how it ended once it has. */
export interface SessionOutput {
  readonly stdout: OutputRing;
  readonly stderr: OutputRing;
  readonly exit: Exit | undefined;
}

/** One connection's way through the output of a session, each byte once, and then the exit. */
export class OutputFeed {
  readonly #session: SessionOutput;
  readonly #sent: Record<OutputName, number>;
  #exitSent = false;
  #turn: OutputName = "stdout";

  constructor(session: SessionOutput, begin: Readonly<Record<OutputName, number>>) {
    this.#session = session;
    this.#sent = { ...begin };
  }

  /** The next frame to send, or undefined until there is more output or the process ended. */
  poll(): Uint8Array<ArrayBuffer> | undefined {
    return this.#pollOutput() ?? this.#pollExit();
  }

  /** Throws `ProtocolError` for output that was not sent on this connection. */
  checkAck(name: OutputName, offset: number): void {
    if (offset > this.#sent[name])
      throw new ProtocolError(`The client acknowledges ${name} that was not sent`);
  }

  /** Throws `ProtocolError` before the exit was sent. */
  checkExitAck(): void {
    if (!this.#exitSent) throw new ProtocolError("Exit acknowledged before it was sent");
  }

  /** Both outputs in turn, so that neither waits for the other to be silent. */
  #pollOutput(): Uint8Array<ArrayBuffer> | undefined {
    const first = this.#turn;
    this.#turn = first === "stdout" ? "stderr" : "stdout";
    return this.#pollStream(first) ?? this.#pollStream(this.#turn);
  }

  #pollStream(name: OutputName): Uint8Array<ArrayBuffer> | undefined {
    const read = this.#session[name].readFrom(this.#sent[name]);
    switch (read.kind) {
      case "data":
        this.#sent[name] += read.bytes.length;
        return encodeSessionFrame({ kind: name, offset: read.offset, bytes: read.bytes });
      case "gap":
        this.#sent[name] = read.to;
        return encodeSessionFrame({ ...read, stream: name });
      case "wait":
      case "end":
        return undefined;
    }
  }

  #pollExit(): Uint8Array<ArrayBuffer> | undefined {
    const { exit } = this.#session;
    if (exit === undefined || this.#exitSent) return undefined;
    this.#exitSent = true;
    return encodeSessionFrame({ kind: "exit", exit });
  }
}
