import type { Context } from "../../../cli/context.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { Progress } from "../../../cli/progress.ts";
import type { AdmissionHint } from "../../../quic/admission-hint.ts";

export interface StartProgressOptions {
  readonly quiet: boolean;
  readonly verbose: number;
}

/**
 * What the proxy says while a vault is dialled, on stderr: on a terminal one line that counts on, else
 * one line in all. A clock that is off is told where somebody wants to hear more.
 */
export class StartProgress {
  readonly #context: Context;
  readonly #options: StartProgressOptions;
  #progress: Progress | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isClockTold = false;

  constructor(context: Context, options: StartProgressOptions) {
    this.#context = context;
    this.#options = options;
  }

  receive({ state, timeS }: AdmissionHint): void {
    if (state === "clock") this.#tellClock(timeS);
    const words = states[state];
    if (words !== undefined && this.#progress === undefined) this.#begin(words);
  }

  /** The dialling is over. */
  async end(isUp: boolean): Promise<void> {
    clearInterval(this.#timer);
    const progress = this.#progress;
    this.#progress = undefined;
    // In a pipe one line is enough; what went wrong is told by the error.
    if (isUp && this.#context.stderr.isTty) await progress?.finish("machine started");
    else await progress?.abandon();
  }

  #begin(words: string): void {
    const progress = new Progress(this.#context, `${words} …`, this.#options);
    this.#progress = progress;
    const draw = (): void =>
      progress.update(() => `${words} … ${formatDuration(progress.elapsedMs)}`);
    draw();
    this.#timer = setInterval(draw, drawEveryMs);
  }

  #tellClock(timeS: number): void {
    if (this.#isClockTold || this.#options.quiet || this.#options.verbose < 1) return;
    this.#isClockTold = true;
    const aheadS = Math.round(this.#context.wallMs() / 1000 - timeS);
    const side = aheadS > 0 ? "ahead of" : "behind";
    const line = `note: this computer's clock is ${Math.abs(aheadS)} s ${side} the proxy's\n`;
    this.#context.stderr.write(line).catch(() => undefined);
  }
}

const states: Readonly<Partial<Record<AdmissionHint["state"], string>>> = {
  starting: "machine stopped, starting",
  resuming: "machine suspended, resuming",
};

const drawEveryMs = 100;
