import { type FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { encodeJson, sendError } from "../../src/protocol/message.ts";
import type {
  Exit,
  SessionAttachRequest,
  SessionOpenRequest,
} from "../../src/protocol/session-message.ts";
import { RemoteError, type RemoteErrorCode } from "../../src/protocol/errors.ts";
import { OutputBudget } from "../../src/protocol/session-output.ts";
import { type SessionAttachment, SessionState } from "../../src/protocol/session-server.ts";
import type { OutputName } from "../../src/protocol/session-frame.ts";

/** One command of a `TestVault`, on pipes or a terminal, with the protocol's own bookkeeping. */
export class TestSession {
  readonly id: string;
  readonly name: string | undefined;
  readonly request: SessionOpenRequest;
  readonly resizes: string[] = [];
  /** Sizes that came twice in a row. */
  repaints = 0;
  readonly signals: number[] = [];
  /** While it is set, the command takes no input. */
  holdingInput: Promise<void> | undefined;
  /** Who has it, as the list says. */
  readonly attachments: { label: string | null; since: string; tty: boolean }[] = [];
  readonly #state = new SessionState({ budget: new OutputBudget() });
  readonly #wakes = new Set<() => void>();
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  #taking: Promise<void> = Promise.resolve();
  readonly #hungUp = Promise.withResolvers<void>();
  #exit: Exit | undefined;
  #refusal: RemoteError | undefined;

  constructor(request: SessionOpenRequest) {
    this.id = request.id;
    this.name = request.name;
    this.request = request;
    const command = [...(request.argv ?? ["/bin/sh"])];
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: "/tmp",
      ...request.ambient,
      ...request.env,
    };
    const terminal = {
      rows: request.rows ?? 24,
      cols: request.cols ?? 80,
      data: (_terminal: unknown, bytes: Uint8Array) => {
        this.#state.stdout.append(bytes);
        this.#wake();
      },
      exit: () => this.#hungUp.resolve(),
    };
    this.#child = Bun.spawn<"pipe", "pipe", "pipe">(command, {
      env,
      cwd: request.cwd ?? "/",
      ...(request.tty ? { terminal } : { stdin: "pipe", stdout: "pipe", stderr: "pipe" }),
    });
    void this.#follow(request.tty);
  }

  get listed(): Record<string, unknown> {
    return {
      session_id: this.id,
      generation: "g1",
      argv: this.request.argv ?? [],
      context: this.request.context ?? null,
      user: "root",
      cwd: "/",
      tty: this.request.tty,
      state: this.ended ? "ended" : "running",
      pid: this.#child.pid,
      attached: this.#wakes.size > 0,
      clients: this.#wakes.size,
      attachments: this.attachments,
      stdout_bytes: this.#state.stdout.endOffset,
      stderr_bytes: this.#state.stderr.endOffset,
      started_at: "2026-11-23T00:00:00Z",
      ended_at: this.ended ? "2026-11-23T00:00:01Z" : null,
      exit_code: this.#exit !== undefined && "code" in this.#exit ? this.#exit.code : null,
      exit: this.#exit ?? null,
    };
  }

  get ended(): boolean {
    return this.#exit !== undefined;
  }

  /** Every attached client is told and let go. */
  refuse(code: RemoteErrorCode): void {
    this.#refusal = new RemoteError(code, "the test wants it so");
    this.#wake();
  }

  kill(signal = 9): void {
    this.#child.kill(signal);
  }

  async serve(
    frames: FrameStream,
    request: SessionOpenRequest | SessionAttachRequest,
    created: boolean,
  ): Promise<void> {
    const shown =
      request.type === "session-attach"
        ? { stdout: request.stdout_offset, stderr: request.stderr_offset }
        : { stdout: 0, stderr: 0 };
    const attachment = this.#state.attach({ id: request.client, shown, holdsBack: true });
    const body = {
      id: this.id,
      ...(this.name === undefined ? {} : { name: this.name }),
      generation: "g1",
      tty: this.request.tty,
      created,
      stdin_offset: attachment.stdinOffset,
      stdout_end: this.#state.stdout.endOffset,
    };
    await frames.write(frameTypes.ok, encodeJson(body));
    const { client_label: label = null, rows } = request;
    const mine = { label, since: new Date().toISOString(), tty: rows !== undefined };
    this.attachments.push(mine);
    const sending = this.#send(frames, attachment);
    await this.#receive(frames, attachment).catch(() => undefined);
    this.attachments.splice(this.attachments.indexOf(mine), 1);
    await sending.catch(() => undefined);
  }

  async #follow(tty: boolean): Promise<void> {
    const pumps = tty
      ? []
      : [this.#pump("stdout", this.#child.stdout), this.#pump("stderr", this.#child.stderr)];
    await Promise.all(pumps);
    await this.#child.exited;
    // Its last output comes before that, unless something it left behind keeps the terminal open.
    if (tty) await Promise.race([this.#hungUp.promise, Bun.sleep(1000)]);
    const { exitCode, signalCode } = this.#child;
    const signals: Record<string, number> = { SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };
    this.#exit =
      signalCode === null ? { code: exitCode ?? 255 } : { signal: signals[signalCode] ?? 1 };
    this.#state.finish(this.#exit);
    this.#wake();
  }

  async #pump(name: OutputName, stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const bytes of stream) {
      while (this.#state.readableBytes(name) < bytes.length) await Bun.sleep(2);
      this.#state[name].append(bytes);
      this.#wake();
    }
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }

  async #send(frames: FrameStream, attachment: SessionAttachment): Promise<void> {
    let wake: (() => void) | undefined;
    const woken = (): void => wake?.();
    this.#wakes.add(woken);
    try {
      for (;;) {
        const next = new Promise<void>((resolve) => {
          wake = resolve;
        });
        for (let frame = attachment.poll(); frame !== undefined; frame = attachment.poll()) {
          await frames.writeEncoded(frame);
          if (frame[0] === frameTypes.exit) {
            await frames.stream.end();
            return;
          }
        }
        if (this.#refusal !== undefined) {
          await sendError(frames, this.#refusal);
          await frames.stream.end();
          return;
        }
        await next;
      }
    } finally {
      this.#wakes.delete(woken);
    }
  }

  async #receive(frames: FrameStream, attachment: SessionAttachment): Promise<void> {
    for (;;) {
      const frame = await frames.read();
      if (frame === null) return;
      const event = attachment.receive(frame);
      if (event.kind === "stdin") {
        this.#taking = this.#taking.then(() => this.#take(event.bytes, attachment));
      } else if (event.kind === "stdin-end") {
        this.#taking = this.#taking.then(() => this.#endInput());
      } else if (event.kind === "resize") {
        if (this.resizes.at(-1) === `${event.rows}x${event.cols}`) this.repaints += 1;
        this.resizes.push(`${event.rows}x${event.cols}`);
        this.#child.terminal?.resize(event.cols, event.rows);
      } else if (event.kind === "signal") {
        this.signals.push(event.signal);
        this.#child.kill(event.signal);
      }
    }
  }

  async #take(bytes: Uint8Array, attachment: SessionAttachment): Promise<void> {
    await this.holdingInput;
    if (this.request.tty) {
      this.#child.terminal?.write(bytes);
    } else {
      try {
        await this.#child.stdin.write(bytes);
        await this.#child.stdin.flush();
      } catch {
        // The command does not read; it is taken all the same.
      }
    }
    attachment.stdinTaken(bytes.length);
    this.#wake();
  }

  async #endInput(): Promise<void> {
    if (!this.request.tty) await this.#child.stdin.end();
  }
}
