import { UsageError } from "../../../cli/usage-error.ts";

/**
 * The keys everyone knows from ssh: `~` first on a line, then one more key. Bytes that turn out to be
 * no escape are passed on unchanged and in order.
 */
export type EscapeAction =
  | "leave"
  | "end"
  | "forwards"
  | "command"
  | "ports"
  | "port"
  | "status"
  | "retry"
  | "break"
  | "suspend"
  | "help";

export type EscapeOutput =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "action"; readonly action: EscapeAction };

/** In the order of the list; the second of a row is how the key is shown. */
const keys: readonly (readonly [byte: number, shown: string, EscapeAction, words: string])[] = [
  [byteOf("."), ".", "leave", "leave; the session goes on"],
  [byteOf("x"), "x", "end", "end the session"],
  [byteOf("#"), "#", "forwards", "forwards"],
  [byteOf("C"), "C", "command", "command line: -L SPEC, -R SPEC, -D SPEC, -KL PORT"],
  [byteOf("P"), "P", "ports", "ports that programs there listen on"],
  [byteOf("p"), "p", "port", "forward one of them, or stop it: its number, then Enter"],
  [byteOf("s"), "s", "status", "how the link is"],
  [byteOf("r"), "r", "retry", "reconnect now"],
  [byteOf("B"), "B", "break", "break: interrupt what is in the foreground (SIGINT)"],
  [0x1a, "^Z", "suspend", "suspend this client"],
  [byteOf("?"), "?", "help", "this list"],
];

/** What `--escape` may be. */
export const escapeSpelling = 'one character, "^" and a letter, or "none"';
const defaultKey = byteOf("~");

/** `--escape`: the byte of the key, or undefined for none. */
export function parseEscapeKey(text: string | undefined): number | undefined {
  if (text === undefined) return defaultKey;
  if (text === "none") return undefined;
  if (/^[!-~]$/.test(text)) return byteOf(text);
  // As terminals show them: ^A is 1, ^] is 29.
  if (/^\^[@-_a-z]$/.test(text)) return byteOf(text.slice(1).toUpperCase()) - 0x40;
  throw new UsageError(`--escape must be ${escapeSpelling}, not "${text}"`);
}

export class EscapeKeys {
  readonly #key: number;
  readonly #actions: ReadonlyMap<number, EscapeAction>;
  readonly shown: string;
  /** One line for each key, for `~?`. */
  readonly help: string;
  /** At the start a line has just begun. */
  #lineStart = true;
  #pending = false;
  #pasting = false;
  /** So much of the mark that begins or ends a paste was seen last. */
  #marked = 0;

  /** What is named in `without` is no escape, and not in the list. */
  constructor(key: number = defaultKey, without: readonly EscapeAction[] = []) {
    this.#key = key;
    const known = keys.filter(([, , action]) => !without.includes(action));
    this.#actions = new Map(known.map(([byte, , action]) => [byte, action]));
    this.shown = showKey(key);
    const rows = known.map(([, second, , words]) => [this.shown + second, words] as const);
    rows.splice(1, 0, [this.shown + this.shown, `send ${this.shown}`]);
    const width = Math.max(...rows.map(([typed]) => typed.length)) + 1;
    this.help = rows.map(([typed, words]) => `${typed.padEnd(width)}${words}`).join("\r\n");
  }

  push(bytes: Uint8Array): EscapeOutput[] {
    const outputs: EscapeOutput[] = [];
    let plain: number[] = [];
    const flush = (): void => {
      if (plain.length > 0) outputs.push({ kind: "bytes", bytes: Uint8Array.from(plain) });
      plain = [];
    };
    // Typed by hand, whatever became of the end of the paste: nobody is locked in.
    if (bytes.length <= typedBytesMax) this.#pasting = false;
    for (const byte of bytes) {
      const action = this.#pasting ? this.#pass(byte, plain) : this.#take(byte, plain);
      this.#watchPaste(byte);
      if (action === undefined) continue;
      flush();
      outputs.push({ kind: "action", action });
    }
    flush();
    return outputs;
  }

  /** The key that was held back, if one is: nothing is an escape any more. */
  release(): Uint8Array {
    const held = this.#pending ? Uint8Array.of(this.#key) : new Uint8Array(0);
    this.#pending = false;
    return held;
  }

  /** What was typed last was not for the session, and the cursor stands on a new line. */
  beginLine(): void {
    this.#lineStart = true;
  }

  /** What a terminal says to be pasted was not typed: a text may have lines that begin with the key. */
  #watchPaste(byte: number): void {
    const mark = this.#pasting ? pasteEnd : pasteStart;
    if (byte === mark[this.#marked]) this.#marked += 1;
    else this.#marked = byte === mark[0] ? 1 : 0;
    if (this.#marked < mark.length) return;
    this.#pasting = !this.#pasting;
    this.#marked = 0;
  }

  #pass(byte: number, plain: number[]): undefined {
    plain.push(byte);
    this.#lineStart = byte === 0x0d || byte === 0x0a;
  }

  #take(byte: number, plain: number[]): EscapeAction | undefined {
    if (this.#pending) {
      this.#pending = false;
      const action = this.#actions.get(byte);
      if (action !== undefined) return action;
      plain.push(this.#key);
      // Twice is once; with anything else the key was just typed.
      if (byte === this.#key) {
        this.#lineStart = false;
        return undefined;
      }
    } else if (byte === this.#key && this.#lineStart) {
      this.#pending = true;
      return undefined;
    }
    return this.#pass(byte, plain);
  }
}

const pasteStart = Buffer.from("\u001b[200~");
const pasteEnd = Buffer.from("\u001b[201~");
/** The most that a key and the one after it bring at once. */
const typedBytesMax = 2;

function showKey(key: number): string {
  return key < 0x20 ? `^${String.fromCharCode(key + 0x40)}` : String.fromCharCode(key);
}

function byteOf(character: string): number {
  return character.charCodeAt(0);
}
