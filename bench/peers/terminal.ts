import { EchoClock } from "./echo-clock.ts";

/** A program on a terminal of its own: what it is told, and when it says something. */
export class Terminal implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  #onText: (text: string) => void = () => undefined;

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = Bun.spawn([...argv], {
      env: { ...env },
      terminal: {
        rows: 24,
        cols: 80,
        data: (_terminal, bytes) => this.#onText(plainText(bytes)),
      },
    });
  }

  /**
   * Types letters, so many with so much time from one to the next, whether or not the one before is there
   * yet; gives the milliseconds that each took to be seen. The far end has to echo them.
   */
  async typeLetters(count: number, everyMs: number): Promise<readonly number[]> {
    const clock = new EchoClock();
    this.#onText = (text) => clock.seen(text, performance.now());
    for (let at = 0; at < count; at++) {
      this.#child.terminal?.write(clock.type(performance.now()));
      await Bun.sleep(everyMs);
      // Before the line is full; what comes back for it is no letter.
      if (at % 60 === 59) this.#child.terminal?.write("\r");
    }
    for (let look = 0; look < 300 && clock.waiting > 0; look++) await Bun.sleep(100);
    if (clock.waiting > 0) throw new Error(`${clock.waiting} letters never came back`);
    return clock.delaysMs;
  }

  /** When it shows digits next, on the clock of `performance.now`. */
  async nextDigits(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#onText = (text) => {
      if (/\d/.test(text) && !/link down|mosh:|ago|contact/.test(text)) resolve(performance.now());
    };
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

/** Without what moves the cursor. */
function plainText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  // oxlint-disable-next-line no-control-regex -- terminals are spoken to in control characters
  return text.replaceAll(/\u001b(?:\[[0-?]*[ -/]*[@-~]|[^[])/g, "");
}
