import type { Context } from "./context.ts";
import { formatDuration } from "./duration.ts";

const drawEveryMs = 100;
const lineEveryMs = 10_000;
const quietFirstMs = 300;

/**
 * One line about long work on stderr. On a terminal it is redrawn at most ten times a second, is not
 * drawn at all in the first 300 ms, and is cleared at the end; in a pipe there is a line at the
 * start, one every ten seconds, and the last one.
 */
export class Progress {
  readonly #context: Context;
  readonly #animated: boolean;
  readonly #silent: boolean;
  readonly #startedMs: number;
  #drawnMs: number;
  #drawn = false;
  /** What came too soon after the last drawing, and when it is drawn. */
  #latest: (() => string) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shown: Promise<void> = Promise.resolve();

  constructor(context: Context, title: string, options: { readonly quiet?: boolean } = {}) {
    const { env, stderr } = context;
    this.#context = context;
    this.#silent = options.quiet ?? false;
    const told = env["CI"] !== undefined && env["CI"] !== "";
    this.#animated = stderr.isTty && env["TERM"] !== "dumb" && !told;
    this.#startedMs = context.monotonicMs();
    this.#drawnMs = this.#startedMs;
    if (!this.#animated) this.#write(`${title}\n`);
  }

  get elapsedMs(): number {
    return this.#context.monotonicMs() - this.#startedMs;
  }

  /** The line is made only when it is drawn. */
  update(line: () => string): void {
    this.#latest = line;
    const dueMs = this.#animated ? drawEveryMs : lineEveryMs;
    const waitMs = this.#drawn || !this.#animated ? dueMs : quietFirstMs;
    const leftMs = this.#drawnMs + waitMs - this.#context.monotonicMs();
    if (leftMs <= 0) this.#draw();
    else if (this.#animated) this.#timer ??= setTimeout(() => this.#draw(), leftMs);
  }

  /** Something new has begun: in a pipe a line of its own, at once. */
  step(line: () => string): void {
    if (this.#animated) {
      this.update(line);
      return;
    }
    this.#latest = line;
    this.#draw();
  }

  /** Removes the line; the summary stays, in a pipe too. */
  async finish(summary: string): Promise<void> {
    this.#clear();
    this.#write(`${summary} in ${formatDuration(this.elapsedMs)}\n`);
    await this.#shown;
  }

  /** Like `finish`, for a summary that has its time in it. */
  async end(summary: string): Promise<void> {
    this.#clear();
    this.#write(`${summary}\n`);
    await this.#shown;
  }

  /** Removes the line and leaves nothing: what went wrong is told by the error. */
  async abandon(): Promise<void> {
    this.#clear();
    await this.#shown;
  }

  #draw(): void {
    this.#forget();
    const line = this.#latest?.() ?? "";
    this.#drawnMs = this.#context.monotonicMs();
    this.#drawn = true;
    this.#write(this.#animated ? `\r\u001b[2K${this.#clip(line)}` : `${line}\n`);
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #clear(): void {
    this.#forget();
    if (this.#animated && this.#drawn) this.#write("\r\u001b[2K");
  }

  #clip(line: string): string {
    const columns = Math.max(20, this.#context.stderr.columns - 1);
    return line.length > columns ? line.slice(0, columns) : line;
  }

  #write(text: string): void {
    if (this.#silent) return;
    // Nobody waits for progress, and a reader that went away is no reason to stop the work.
    this.#shown = this.#context.stderr.write(text).catch(() => undefined);
  }
}
