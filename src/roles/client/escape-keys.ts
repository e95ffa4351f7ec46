/**
 * The keys everyone knows from ssh: `~` first on a line, then one more key. Bytes that turn out to be
 * no escape are passed on unchanged and in order.
 */
export type EscapeAction = "leave" | "help" | "status" | "retry" | "forwards";

export type EscapeOutput =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "action"; readonly action: EscapeAction };

const tilde = 0x7e;
const actions: Readonly<Record<string, EscapeAction>> = {
  ".": "leave",
  "?": "help",
  s: "status",
  r: "retry",
  "#": "forwards",
};

export const escapeHelp = [
  "~.  leave; the session goes on",
  "~~  send ~",
  "~s  how the link is",
  "~r  reconnect now",
  "~#  forwards",
  "~?  this list",
].join("\r\n");

export class EscapeKeys {
  /** At the start a line has just begun. */
  #lineStart = true;
  #pending = false;

  push(bytes: Uint8Array): EscapeOutput[] {
    const outputs: EscapeOutput[] = [];
    let plain: number[] = [];
    const flush = (): void => {
      if (plain.length > 0) outputs.push({ kind: "bytes", bytes: Uint8Array.from(plain) });
      plain = [];
    };
    for (const byte of bytes) {
      const action = this.#take(byte, plain);
      if (action === undefined) continue;
      flush();
      outputs.push({ kind: "action", action });
    }
    flush();
    return outputs;
  }

  #take(byte: number, plain: number[]): EscapeAction | undefined {
    if (this.#pending) {
      this.#pending = false;
      const key = String.fromCharCode(byte);
      const action = Object.hasOwn(actions, key) ? actions[key] : undefined;
      if (action !== undefined) return action;
      plain.push(tilde);
      // `~~` is one tilde; with anything else the tilde was just typed.
      if (byte === tilde) {
        this.#lineStart = false;
        return undefined;
      }
    } else if (byte === tilde && this.#lineStart) {
      this.#pending = true;
      return undefined;
    }
    plain.push(byte);
    this.#lineStart = byte === 0x0d || byte === 0x0a;
    return undefined;
  }
}
