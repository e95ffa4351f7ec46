import { BrokenPipe, type Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import type { Exit } from "../../protocol/message.ts";
import { signalNumbers, type StopSignal } from "./exit-status.ts";
import type { AttestedLink } from "./attested-link.ts";
import { type SessionIo, SessionRun, type SessionPlan } from "./session-run.ts";

export type PipeEnd =
  | { readonly kind: "exit"; readonly exit: Exit }
  /** Asked to stop a second time: the command is left alone. */
  | { readonly kind: "stopped"; readonly signal: StopSignal }
  /** Nobody takes our output any more; the error says why. */
  | { readonly kind: "broken-pipe"; readonly error: Error };

/** Joins our three streams to a session without a terminal: bytes as they are, ends as they come. */
export class Pipe {
  readonly #context: Context;
  readonly #run: SessionRun;
  readonly #end = Promise.withResolvers<PipeEnd>();
  #broken: Error | undefined;
  #stops = 0;

  constructor(context: Context, link: AttestedLink, plan: SessionPlan) {
    this.#context = context;
    const io: SessionIo = {
      output: (stream, bytes) => this.#show(stream, bytes),
      lost: (stream, lostBytes) =>
        context.stderr.write(`\nwarning: ${lostBytes} bytes of ${stream} were lost\n`),
    };
    this.#run = new SessionRun(link, plan, io);
  }

  /** Set once the command runs. */
  get sessionId(): string | undefined {
    return this.#run.id;
  }

  async run(): Promise<PipeEnd> {
    const off = this.#context.onStop((signal) => this.#stop(signal));
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
      off();
    }
  }

  async #pumpInput(): Promise<void> {
    for await (const bytes of this.#context.stdin.read()) await this.#run.feed(bytes);
    this.#run.endInput();
  }

  async #show(stream: "stdout" | "stderr", bytes: Uint8Array): Promise<void> {
    if (this.#broken !== undefined) return;
    try {
      await this.#context[stream].write(bytes);
    } catch (error) {
      if (!(error instanceof BrokenPipe || error instanceof Failure)) throw error;
      // What the command would have met in a local pipe.
      this.#broken = error;
      this.#run.signal(sigpipe);
      setTimeout(() => this.#end.resolve({ kind: "broken-pipe", error }), brokenPipeWaitMs);
    }
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
