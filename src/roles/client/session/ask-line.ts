import type { Keyboard } from "./keyboard.ts";
import { clientLimits } from "../limits.ts";

/**
 * Asks for one line on a terminal that gives its keys one by one, with an echo of our own. Undefined
 * when it was given up, by Ctrl-C or Ctrl-D, or when `abandoned` came first.
 */
export async function askLine(
  keyboard: Keyboard,
  question: string,
  say: (text: string) => void,
  abandoned?: Promise<unknown>,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const line = new Line();
  say(question);
  keyboard.capture((bytes) => {
    for (const [index, byte] of bytes.entries()) {
      const state = line.push(byte);
      if (state === "more") continue;
      say(line.takeEcho());
      resolve(state === "done" ? line.text : undefined);
      return bytes.subarray(index + 1);
    }
    say(line.takeEcho());
    return "more";
  });
  try {
    const nobody = abandoned?.then(() => undefined);
    return await (nobody === undefined ? promise : Promise.race([promise, nobody]));
  } finally {
    keyboard.capture(undefined);
    say("\r\n");
  }
}

/** What is typed up to Enter; a key that deletes takes a whole character. */
class Line {
  #bytes: number[] = [];
  #echoed = "";

  get text(): string {
    return Buffer.from(this.#bytes).toString();
  }

  push(byte: number): "more" | "done" | "given-up" {
    if (byte === 0x0d || byte === 0x0a) return "done";
    if (byte === 0x03 || byte === 0x04) return "given-up";
    if (byte === 0x7f || byte === 0x08) this.#deleteLast();
    else if (byte === 0x15) this.#bytes = [];
    else if (byte >= 0x20 && this.#bytes.length < clientLimits.promptBytesMax)
      this.#bytes.push(byte);
    return "more";
  }

  /** Brings what is shown up to date; a character that has not arrived whole is shown when it has. */
  takeEcho(): string {
    const now = new TextDecoder().decode(Buffer.from(this.#bytes), { stream: true });
    let common = 0;
    while (common < now.length && now[common] === this.#echoed[common]) common += 1;
    const erased = "\b \b".repeat(Array.from(this.#echoed.slice(common)).length);
    this.#echoed = now;
    return erased + now.slice(common);
  }

  #deleteLast(): void {
    let byte = this.#bytes.pop();
    while (byte !== undefined && (byte & 0xc0) === 0x80) byte = this.#bytes.pop();
  }
}
