import type { FrameStream } from "../../../src/protocol/frame.ts";
import { request } from "../../../src/protocol/message.ts";
import {
  type Exit,
  type SessionAttachRequest,
  type SessionOpenRequest,
  type SessionReply,
  sessionReplySchema,
} from "../../../src/protocol/session-message.ts";
import { SessionClient } from "../../../src/protocol/session-client.ts";
import type { OutputName } from "../../../src/protocol/session-frame.ts";

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: Exit;
}

/** A client of one session: the real state machine with a driver as small as it gets. */
export class TestClient {
  readonly reply: SessionReply;
  readonly #frames: FrameStream;
  readonly #state: SessionClient;
  readonly #output = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  lostBytes = 0;
  receivedBytes = 0;
  exit: Exit | undefined;
  /** False: takes what comes in, but acknowledges and reads no more. */
  reading = true;
  keepOutput = true;
  /** Sees all output from when it is set, kept or not. */
  onOutput: ((stream: OutputName, bytes: Uint8Array) => void) | undefined;
  #over: Promise<void>;
  #turn: Promise<void> = Promise.resolve();
  #change = Promise.withResolvers<void>();

  private constructor(frames: FrameStream, reply: SessionReply, state: SessionClient) {
    this.#frames = frames;
    this.reply = reply;
    this.#state = state;
    this.#over = this.#followToEnd();
    this.#over.catch(() => undefined);
  }

  static async connect(
    frames: FrameStream,
    message: SessionOpenRequest | SessionAttachRequest,
    state: SessionClient = new SessionClient(),
  ): Promise<TestClient> {
    const reply = await request(frames, message, sessionReplySchema);
    state.attached(reply);
    return new TestClient(frames, reply, state);
  }

  get state(): SessionClient {
    return this.#state;
  }

  async write(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    let offset = 0;
    while (offset < bytes.length) {
      const room = this.#state.roomBytes;
      if (room === 0) await this.#change.promise;
      const part = bytes.subarray(offset, offset + this.#state.roomBytes);
      this.#state.write(part);
      offset += part.length;
      await this.#flush();
    }
  }

  async endInput(): Promise<void> {
    this.#state.end();
    await this.#flush();
  }

  /** Bytes a well-behaved client would not send. */
  async raw(bytes: Uint8Array): Promise<void> {
    await this.#frames.stream.write(bytes);
  }

  async resize(rows: number, cols: number): Promise<void> {
    this.#state.resize(rows, cols);
    await this.#flush();
  }

  async signal(signal: number): Promise<void> {
    this.#state.signal(signal);
    await this.#flush();
  }

  stdoutBytes(): Uint8Array {
    return Buffer.concat(this.#output.stdout);
  }

  get stdout(): string {
    return Buffer.from(this.stdoutBytes()).toString();
  }

  /** The same client on another connection: what it has shown stays shown. */
  takeOutputFrom(before: TestClient): void {
    this.#output.stdout.unshift(...before.#output.stdout);
    this.#output.stderr.unshift(...before.#output.stderr);
    void this.#flush();
  }

  get stderr(): string {
    return Buffer.concat(this.#output.stderr).toString();
  }

  /** Waits for the text in stdout. */
  async until(text: string): Promise<void> {
    const deadlineMs = performance.now() + 30_000;
    while (!this.stdout.includes(text)) {
      if (performance.now() > deadlineMs)
        throw new Error(`No ${JSON.stringify(text)} in ${JSON.stringify(this.stdout)}`);
      await Promise.race([this.#change.promise, Bun.sleep(50)]);
    }
  }

  async outcome(): Promise<Outcome> {
    await this.#over;
    if (this.exit === undefined) throw new Error("The stream ended without an exit");
    return { stdout: this.stdout, stderr: this.stderr, exit: this.exit };
  }

  /** Rejects with what ended the stream, where that was an error. */
  async over(): Promise<void> {
    await this.#over;
  }

  /** Detaches: ends its half. */
  async leave(): Promise<void> {
    await this.#frames.stream.end();
  }

  /** Goes away as a lost connection does. */
  drop(): void {
    this.#frames.stream.abort(0);
  }

  async #followToEnd(): Promise<void> {
    try {
      await this.#followFrames();
    } finally {
      await this.#frames.stream.end();
    }
  }

  async #followFrames(): Promise<void> {
    for (;;) {
      while (!this.reading) await Bun.sleep(5);
      const frame = await this.#frames.read();
      if (frame === null) return;
      const event = this.#state.receive(frame);
      if (event.kind === "output") {
        this.receivedBytes += event.bytes.length;
        this.onOutput?.(event.stream, event.bytes);
        if (this.keepOutput) this.#output[event.stream].push(event.bytes.slice());
      }
      if (event.kind === "lost") this.lostBytes += event.lostBytes;
      if (event.kind === "error") throw event.error;
      if (event.kind === "exit") this.exit = event.exit;
      this.#change.resolve();
      this.#change = Promise.withResolvers<void>();
      await this.#flush();
    }
  }

  /** One after the other: a stream takes one write at a time. */
  async #flush(): Promise<void> {
    const before = this.#turn;
    const run = async (): Promise<void> => {
      await before.catch(() => undefined);
      for (let frame = this.#state.poll(); frame !== undefined; frame = this.#state.poll())
        await this.#frames.writeEncoded(frame);
    };
    this.#turn = run();
    await this.#turn;
  }
}
