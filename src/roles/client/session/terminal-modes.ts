/**
 * Watches what the remote screen switches on (alternate screen, mouse, paste marks, the cursor's looks,
 * keyboard protocols, margins, line drawing) to undo exactly that when the local terminal is given
 * back. A blind reset would move the cursor of people who had none of it.
 */
export class TerminalModes {
  #tail = "";
  readonly #on = new Set<number>();
  #cursorHidden = false;
  /** Flags of the keyboard protocol, as they were pushed. */
  #keyboard: string[] = [];
  /** The same, set without a push; and how modified keys are told by xterm's own way. */
  #keyboardFlags = "";
  #otherKeys = "";
  #keypad = false;
  #styled = false;
  #cursorShape = "";
  /** Top and bottom line between which the screen scrolls. */
  #margins = "";
  /** Which of the two character sets draws lines where letters are meant. */
  readonly #drawing = new Set<"(" | ")">();

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
    if (this.#keyboardFlags !== "") reset += "\u001b[=0u";
    if (this.#otherKeys !== "") reset += "\u001b[>4m";
    if (this.#keypad) reset += "\u001b>";
    if (this.#cursorHidden) reset += "\u001b[?25h";
    if (this.#cursorShape !== "") reset += "\u001b[0 q";
    for (const set of this.#drawing) reset += set === "(" ? "\u001b(B" : "\u001b)B\u000f";
    if (this.#styled) reset += "\u001b[0m";
    // With the cursor where it is: setting margins moves it.
    if (this.#margins !== "") reset += "\u001b7\u001b[r\u001b8";
    return reset;
  }

  /** Bytes that undo `undo`, but for colours and line drawing: the program sets them as it paints. */
  redo(): string {
    let set = "";
    for (const mode of this.#on) set += `\u001b[?${mode}h`;
    for (const flags of this.#keyboard) set += `\u001b[>${flags}u`;
    if (this.#keyboardFlags !== "") set += `\u001b[=${this.#keyboardFlags}u`;
    if (this.#otherKeys !== "") set += `\u001b[>4;${this.#otherKeys}m`;
    if (this.#keypad) set += "\u001b=";
    if (this.#cursorHidden) set += "\u001b[?25l";
    if (this.#cursorShape !== "") set += `\u001b[${this.#cursorShape} q`;
    if (this.#margins !== "") set += `\u001b7\u001b[${this.#margins}r\u001b8`;
    return set;
  }

  #reset(): void {
    this.#softReset();
    this.#on.clear();
    this.#keyboard = [];
    this.#keyboardFlags = "";
    this.#otherKeys = "";
    this.#cursorShape = "";
  }

  #softReset(): void {
    this.#keypad = false;
    this.#cursorHidden = false;
    this.#styled = false;
    this.#margins = "";
    this.#drawing.clear();
  }

  #apply(match: RegExpMatchArray): void {
    const [whole, marker = "", parameters = "", final, set, charset] = match;
    if (whole === "\u001b=") this.#keypad = true;
    else if (whole === "\u001b>") this.#keypad = false;
    else if (whole === "\u001bc") this.#reset();
    else if (whole === "\u001b[!p") this.#softReset();
    else if (set === "(" || set === ")") {
      if (charset === "0") this.#drawing.add(set);
      else this.#drawing.delete(set);
    } else if (final === "u") this.#setKeyboard(marker, parameters);
    else this.#setMarked(`${marker}${final}`, parameters);
  }

  #setMarked(kind: string, parameters: string): void {
    const isDefault = /^[0;]*$/.test(parameters);
    switch (kind) {
      case "m":
        this.#styled = !/^0?$/.test(parameters);
        return;
      case ">m": {
        const [resource, value = ""] = parameters.split(";");
        if (resource === "4") this.#otherKeys = /^0*$/.test(value) ? "" : value;
        return;
      }
      case " q":
        this.#cursorShape = isDefault ? "" : parameters;
        return;
      case "r":
        this.#margins = isDefault ? "" : parameters;
        return;
      case "?h":
      case "?l":
        for (const number of parameters.split(";")) this.#setMode(Number(number), kind === "?h");
    }
  }

  #setKeyboard(marker: string | undefined, parameters: string): void {
    if (marker === ">" && this.#keyboard.length < pushesMax) this.#keyboard.push(parameters);
    if (marker === "<") {
      const pops = Math.max(1, Number(parameters));
      this.#keyboard.splice(Math.max(0, this.#keyboard.length - pops));
    }
    const [flags = "", how = "1"] = parameters.split(";");
    // What is set is of the level that was pushed last, and goes with it.
    if (marker === "=" && how === "1" && this.#keyboard.length === 0)
      this.#keyboardFlags = /^0*$/.test(flags) ? "" : flags;
  }

  #setMode(mode: number, on: boolean): void {
    if (mode === 25) this.#cursorHidden = !on;
    else if (!undone.has(mode)) return;
    else if (on) this.#on.add(mode);
    else this.#on.delete(mode);
  }
}

/** Cursor keys, reversed screen, mouse of all kinds, focus, alternate screens, paste marks, synchronised output, word of new colours and sizes. */
const undone: ReadonlySet<number> = new Set([
  1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026, 2031,
  2048,
]);
const escape = 0x1b;
const longestBytes = 64;
/** Terminals keep a few; a program that pushes without end is not followed. */
const pushesMax = 64;
// oxlint-disable-next-line no-control-regex -- terminals are spoken to in control characters
const sequence = /\u001b(?:\[([?<>=]?)([\d;]*)( q|[hlumr])|\[!p|([()])(.)|[=>c])/gs;
