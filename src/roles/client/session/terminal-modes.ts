/**
 * Watches what the remote screen switches on (alternate screen, mouse, paste marks, hidden cursor,
 * keyboard protocols) to undo exactly that when the local terminal is given back. A blind reset would
 * move the cursor of people who had none of it.
 */
export class TerminalModes {
  #tail = "";
  readonly #on = new Set<number>();
  #cursorHidden = false;
  /** Flags of the keyboard protocol, as they were pushed. */
  #keyboard: string[] = [];
  #keypad = false;
  #styled = false;

  get alternateScreen(): boolean {
    return this.#on.has(1049) || this.#on.has(47) || this.#on.has(1047);
  }

  push(bytes: Uint8Array): void {
    if (this.#tail === "" && !bytes.includes(escape)) return;
    // Latin-1 keeps every byte one character; sequences are ASCII.
    const text = this.#tail + Buffer.from(bytes).toString("latin1");
    let consumed = 0;
    for (const match of text.matchAll(sequence)) {
      this.#apply(match);
      consumed = match.index + match[0].length;
    }
    const open = text.lastIndexOf("\u001b");
    this.#tail = open >= consumed ? text.slice(open, open + longestBytes) : "";
    if (this.#tail.length === longestBytes) this.#tail = "";
  }

  /** Bytes that bring the terminal back; empty when nothing was switched on. */
  undo(): string {
    let reset = "";
    for (const mode of this.#on) reset += `\u001b[?${mode}l`;
    if (this.#keyboard.length > 0) reset += `\u001b[<${this.#keyboard.length}u`;
    if (this.#keypad) reset += "\u001b>";
    if (this.#cursorHidden) reset += "\u001b[?25h";
    if (this.#styled) reset += "\u001b[0m";
    return reset;
  }

  /** Bytes that undo `undo`, but for colours: the program sets them as it paints. */
  redo(): string {
    let set = "";
    for (const mode of this.#on) set += `\u001b[?${mode}h`;
    for (const flags of this.#keyboard) set += `\u001b[>${flags}u`;
    if (this.#keypad) set += "\u001b=";
    if (this.#cursorHidden) set += "\u001b[?25l";
    return set;
  }

  #reset(): void {
    this.#on.clear();
    this.#keyboard = [];
    this.#keypad = false;
    this.#cursorHidden = false;
    this.#styled = false;
  }

  #apply(match: RegExpMatchArray): void {
    const [whole, marker, parameters = "", final] = match;
    if (whole === "\u001b=") this.#keypad = true;
    else if (whole === "\u001b>") this.#keypad = false;
    else if (whole === "\u001bc") this.#reset();
    else if (final === "u") this.#setKeyboard(marker, parameters);
    else if (final === "m" && marker === "") this.#styled = !/^0?$/.test(parameters);
    else if (final !== "m" && marker === "?")
      for (const number of parameters.split(";")) this.#setMode(Number(number), final === "h");
  }

  #setKeyboard(marker: string | undefined, parameters: string): void {
    if (marker === ">" && this.#keyboard.length < pushesMax) this.#keyboard.push(parameters);
    if (marker === "<") {
      const pops = Math.max(1, Number(parameters));
      this.#keyboard.splice(Math.max(0, this.#keyboard.length - pops));
    }
  }

  #setMode(mode: number, on: boolean): void {
    if (mode === 25) this.#cursorHidden = !on;
    else if (!undone.has(mode)) return;
    else if (on) this.#on.add(mode);
    else this.#on.delete(mode);
  }
}

/** Cursor keys, mouse of all kinds, focus, alternate screens, paste marks, synchronised output. */
const undone: ReadonlySet<number> = new Set([
  1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026,
]);
const escape = 0x1b;
const longestBytes = 64;
/** Terminals keep a few; a program that pushes without end is not followed. */
const pushesMax = 64;
// oxlint-disable-next-line no-control-regex -- terminals are spoken to in control characters
const sequence = /\u001b(?:\[([?<>]?)([\d;]*)([hlum])|[=>c])/g;
