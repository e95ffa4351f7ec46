import { BrokenPipe, type Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { formatSize } from "../../../cli/size.ts";
import type { Exit, SessionReply } from "../../../protocol/session-message.ts";
import { signalNumbers, type StopSignal } from "./exit-status.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { type SessionIo, SessionRun, type SessionPlan } from "./session-run.ts";
import { terminalSize } from "./session-request.ts";

export type PipeEnd =
  | { readonly kind: "exit"; readonly exit: Exit }
  /** Asked to stop a second time: the command is left alone. */
  | { readonly kind: "stopped"; readonly signal: StopSignal }
  /** Nobody takes our output any more; the error says why. */
  | { readonly kind: "broken-pipe"; readonly error: Error };

export interface PipeOptions {
  /** The session has a terminal, although we have none to type on. */
  readonly tty?: boolean;
  /** Once attached: whether it was there before us. Then our reader is not its own, and the end of our input no Ctrl-D at its terminal. */
  readonly isGuest?: () => boolean;
  readonly onAttached?: SessionIo["attached"];
}

/** Joins our three streams to a session: bytes as they are, ends as they come. */
export class Pipe {
  readonly #context: Context;
  readonly #options: PipeOptions;
  readonly #run: SessionRun;
  readonly #end = Promise.withResolvers<PipeEnd>();
  readonly #attached = Promise.withResolvers<SessionReply>();
  #broken: Error | undefined;
  #stops = 0;

  constructor(context: Context, link: AttestedLink, plan: SessionPlan, options: PipeOptions = {}) {
    this.#context = context;
    this.#options = options;
    const io: SessionIo = {
      output: (stream, bytes) => this.#show(stream, bytes),
      lost: (stream, lostBytes) =>
        context.stderr.write(`\nwarning: ${formatSize(lostBytes)} of ${stream} were lost\n`),
      attached: (reply, again) => {
        this.#attached.resolve(reply);
        options.onAttached?.(reply, again);
      },
    };
    this.#run = new SessionRun(link, plan, io);
  }

  /** Set once the command runs. */
  get sessionId(): string | undefined {
    return this.#run.id;
  }

  async run(): Promise<PipeEnd> {
    const { stdout, onStop } = this.#context;
    const unsubscribe = [onStop((signal) => this.#stop(signal))];
    if (this.#options.tty === true && stdout.isTty)
      unsubscribe.push(stdout.onResize(() => this.#resize()));
    this.#run
      .run()
      .then((exit) =>
        this.#end.resolve(
          this.#broken === undefined
            ? { kind: "exit", exit }
            : { kind: "broken-pipe", error: this.#broken },
        ),
      )
      .catch((error: unknown) => this.#end.reject(error));
    this.#pumpInput().catch((error: unknown) => this.#end.reject(error));
    try {
      return await this.#end.promise;
    } finally {
      for (const off of unsubscribe) off();
    }
  }

  async #pumpInput(): Promise<void> {
    for await (const bytes of this.#context.stdin.read()) await this.#run.feed(bytes);
    const { tty } = await this.#attached.promise;
    if (!tty || !this.#isGuest) this.#run.endInput();
  }

  async #show(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) return;
    try {
      await this.#context[stream].write(bytes);
    } catch (error) {
      if (!(error instanceof BrokenPipe || error instanceof Failure)) throw error;
      this.#broken = error;
      if (this.#isGuest) {
        this.#end.resolve({ kind: "broken-pipe", error });
        return;
      }
      // What the command would have met in a local pipe.
      this.#run.signal(sigpipe);
      setTimeout(() => this.#end.resolve({ kind: "broken-pipe", error }), brokenPipeWaitMs);
    }
  }

  get #isGuest(): boolean {
    return this.#options.isGuest?.() === true;
  }

  #resize(): void {
    const { rows, cols } = terminalSize(this.#context);
    this.#run.resize(rows, cols);
  }

  /** The first is for the command; who says it twice means us. */
  #stop(signal: StopSignal): void {
    this.#stops += 1;
    if (this.#stops > 1 || this.#run.id === undefined)
      this.#end.resolve({ kind: "stopped", signal });
    else this.#run.signal(signalNumbers[signal]);
  }
}

const sigpipe = 13;
const brokenPipeWaitMs = 1000;
