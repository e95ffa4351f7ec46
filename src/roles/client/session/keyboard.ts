import type { InputStream } from "../../../cli/context.ts";
import type { EscapeAction, EscapeKeys } from "./escape-keys.ts";
import { clientLimits } from "../limits.ts";
import { Wakeup } from "../link/wakeup.ts";

/**
 * The one reader of a terminal, from before the first dial to the end. Escape keys act the moment they
 * are typed, whatever the session does; other keys wait here until it takes them. Only one who has
 * typed more than `typedBytesMax` ahead is held back, escape keys and all.
 */
export class Keyboard {
  readonly #stdin: InputStream;
  #keys: EscapeKeys | undefined;
  readonly #typed: Uint8Array[] = [];
  #typedBytes = 0;
  readonly #arrived = new Wakeup();
  readonly #taken = new Wakeup();
  #capture: Capture | undefined;
  #started = false;
  #end: Promise<null> | undefined;
  /** Who does what the escape keys ask for. */
  onAction: (action: EscapeAction) => void = () => undefined;

  constructor(stdin: InputStream, keys: EscapeKeys | undefined) {
    this.#stdin = stdin;
    this.#keys = keys;
  }

  /** The escape key as people write it; undefined where there is none. */
  get escape(): string | undefined {
    return this.#keys?.shown;
  }

  get help(): string {
    return this.#keys?.help ?? "";
  }

  /** Begins to read, once: until then others may ask something on the terminal. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    const reading = this.#read();
    const end = (): void => {
      this.#end = reading;
      this.#arrived.call();
    };
    reading.then(end, end);
  }

  /** What was typed for the session, in order; null when the terminal is gone. Rejects as reading does. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes = this.#typed.shift();
      if (bytes !== undefined) {
        this.#typedBytes -= bytes.length;
        this.#taken.call();
        return bytes;
      }
      if (this.#end !== undefined) return this.#end;
      await this.#arrived.wait();
    }
  }

  /** As any other input, with what was typed so far: no key is an escape any more. */
  async *plain(): AsyncGenerator<Uint8Array> {
    const held = this.#keys?.release() ?? new Uint8Array(0);
    this.#keys = undefined;
    if (!this.#started) return yield* this.#stdin.read();
    if (held.length > 0) this.#keep(held);
    for (let bytes = await this.next(); bytes !== null; bytes = await this.next()) yield bytes;
  }

  /** Keys typed from now on are for somebody here, until that one has enough; undefined ends it at once. */
  capture(receiver: Capture | undefined): void {
    this.#capture = receiver;
  }

  async #read(): Promise<null> {
    for await (const bytes of this.#stdin.read()) {
      for (const part of this.#keys?.push(bytes) ?? [{ kind: "bytes" as const, bytes }]) {
        if (part.kind === "action") this.onAction(part.action);
        else await this.#give(part.bytes);
      }
      while (this.#typedBytes >= clientLimits.typedBytesMax) await this.#taken.wait();
    }
    return null;
  }

  async #give(bytes: Uint8Array): Promise<void> {
    const taken = this.#capture?.(bytes);
    if (taken === undefined) {
      this.#keep(bytes);
      return;
    }
    if (taken === "more") return;
    this.#capture = undefined;
    if (taken.length > 0) this.#keep(taken);
    else this.#keys?.beginLine();
    // Whoever asked is to be done with it before the next key, which may ask again.
    await Bun.sleep(0);
  }

  #keep(bytes: Uint8Array): void {
    this.#typed.push(bytes);
    this.#typedBytes += bytes.length;
    this.#arrived.call();
  }
}

/** Takes keys until it has enough; then gives back what it did not need. */
export type Capture = (bytes: Uint8Array) => "more" | Uint8Array;
