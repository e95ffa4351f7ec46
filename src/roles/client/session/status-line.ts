import type { OutputStream } from "../../../cli/context.ts";

/**
 * One dim line over the last row of a terminal, drawn once a second, without moving the cursor. Where
 * lines scroll, the text there makes room first and nothing is drawn over; a full-screen program owns
 * every row, and paints itself anew when the link is back.
 */
export class StatusLine {
  readonly #output: OutputStream;
  readonly #scrolls: () => boolean;
  #timer: ReturnType<typeof setInterval> | undefined;
  #shown = false;
  #line: () => string = () => "";

  constructor(output: OutputStream, scrolls: () => boolean) {
    this.#output = output;
    this.#scrolls = scrolls;
  }

  show(line: () => string): void {
    if (!this.#output.isTty) return;
    this.#line = line;
    this.#draw();
    this.#timer ??= setInterval(() => this.#draw(), 1000);
  }

  hide(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.giveWay();
  }

  /** The row is for something else of ours; the line is back below it within a second. */
  giveWay(): void {
    if (!this.#shown) return;
    this.#shown = false;
    this.#write(`${this.#lastRow()}\u001b[2K`);
  }

  #draw(): void {
    // Down and up again: only a cursor in the last row moves, and its text with it.
    const room = this.#shown || !this.#scrolls() ? "" : "\u001bD\u001bM";
    this.#shown = true;
    const text = this.#line().slice(0, this.#output.columns);
    this.#write(`${this.#lastRow()}\u001b[0;2m${text}\u001b[0m\u001b[K`, room);
  }

  #lastRow(): string {
    return `\u001b[${this.#output.rows};1H`;
  }

  /** Cursor and colours are saved and put back by the terminal. */
  #write(text: string, before = ""): void {
    this.#output.write(`${before}\u001b7${text}\u001b8`).catch(() => undefined);
  }
}
