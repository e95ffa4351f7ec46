import type { Context } from "./context.ts";

/** Ctrl-C, or the end of the input, where an answer was wanted. */
export class PromptAborted extends Error {
  override readonly name = "PromptAborted";
}

/** Asks on stderr and reads from the terminal, one question after the other. Rejects with `PromptAborted`. */
export class Prompt {
  readonly #context: Context;
  readonly #decoder = new TextDecoder();
  #chunks: AsyncIterator<Uint8Array> | undefined;
  #typed = "";

  constructor(context: Context) {
    this.#context = context;
  }

  /** An empty answer is the `fallback`, where there is one. */
  async line(question: string, fallback = ""): Promise<string> {
    const shown = fallback === "" ? question : `${question} [${fallback}]`;
    await this.#context.stderr.write(`${shown}: `);
    const answer = (await this.#readLine()).trim();
    return answer === "" ? fallback : answer;
  }

  /** What is typed is not shown. */
  async hidden(question: string): Promise<string> {
    const { stdin, stderr } = this.#context;
    // Before the question: who answers at once is not to be shown either.
    stdin.setMode("raw");
    try {
      await stderr.write(`${question} (not shown): `);
      return (await this.#readKeys()).trim();
    } finally {
      stdin.setMode("lines");
      await stderr.write("\n");
    }
  }

  /** Anything but yes is a no. */
  async confirm(question: string): Promise<boolean> {
    return /^y(es)?$/i.test(await this.line(`${question} [y/N]`));
  }

  /** The terminal edits the line itself, and makes one character of its end. */
  async #readLine(): Promise<string> {
    for (;;) {
      const end = this.#typed.indexOf("\n");
      if (end !== -1) return this.#take(end + 1);
      await this.#more();
    }
  }

  /** In raw mode: what a line editor at its simplest knows. */
  async #readKeys(): Promise<string> {
    let text = "";
    for (;;) {
      while (this.#typed === "") await this.#more();
      if (text.length > typedMax) throw new PromptAborted("The answer has no end");
      const key = this.#take(keyLength(this.#typed));
      if (/^[\r\n]/.test(key)) return text;
      if (key === "\u0003" || (key === "\u0004" && text === "")) throw new PromptAborted("Ctrl-C");
      if (key === "\u007f" || key === "\b") text = text.replace(/.$/u, "");
      else if (key === "\u0015") text = "";
      else if (!/\p{Cc}/u.test(key)) text += key;
    }
  }

  #take(length: number): string {
    const text = this.#typed.slice(0, length);
    this.#typed = this.#typed.slice(length);
    return text;
  }

  async #more(): Promise<void> {
    this.#chunks ??= this.#context.stdin.read()[Symbol.asyncIterator]();
    const next = await this.#chunks.next();
    if (next.done === true || this.#typed.length > typedMax) {
      await this.#context.stderr.write("\n");
      throw new PromptAborted("The input ended");
    }
    this.#typed += this.#decoder.decode(next.value, { stream: true });
  }
}

/** Arrows and the like are several characters, and none of them belongs to an answer. */
function keyLength(typed: string): number {
  if (typed.startsWith("\u001b"))
    return 1 + (/^(?:\[[0-?]*[ -/]*[@-~]?|O.)/su.exec(typed.slice(1))?.[0].length ?? 0);
  return /^(?:\r\n|.)/su.exec(typed)?.[0].length ?? 1;
}

const typedMax = 65_536;
