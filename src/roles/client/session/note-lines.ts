import { styled } from "../../../cli/colour.ts";
import type { Context, OutputStream } from "../../../cli/context.ts";
import { clipCell } from "../../../cli/table.ts";
import { clientLimits } from "../limits.ts";

/**
 * Lines of ours between those of a session, each above the row with the cursor, so that a prompt and
 * what is typed there stay the last row. They wait until the session is quiet for a moment, and for as
 * long as `mayDraw` says no: a full-screen program owns every row.
 */
export class NoteLines {
  readonly #output: OutputStream;
  readonly #context: NoteContext;
  readonly #mayDraw: () => boolean;
  #waiting: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sinceMs = 0;

  constructor(context: NoteContext, mayDraw: () => boolean) {
    this.#output = context.stdout;
    this.#context = context;
    this.#mayDraw = mayDraw;
  }

  tell(line: string): void {
    if (!this.#output.isTty) return;
    if (this.#waiting.length === 0) this.#sinceMs = performance.now();
    if (this.#waiting.length >= clientLimits.noteLinesMax) this.#waiting.shift();
    this.#waiting.push(line);
    this.changed();
  }

  /** The session has drawn, or what `mayDraw` says is another thing now. */
  changed(): void {
    if (this.#waiting.length === 0) return;
    clearTimeout(this.#timer);
    // One that never stops writing is not waited for without end.
    const leftMs = this.#sinceMs + clientLimits.noteHeldMs - performance.now();
    const waitMs = Math.max(0, Math.min(clientLimits.noteQuietMs, leftMs));
    this.#timer = setTimeout(() => this.#draw(), waitMs);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }

  #draw(): void {
    if (!this.#mayDraw()) return;
    const lines = this.#waiting;
    this.#waiting = [];
    const drawn = lines.map((line) => {
      const text = styled("dim", clipCell(line, this.#output.columns), "stdout", this.#context);
      return `${makeRoom}${save}\r${insertRow}\u001b[0m${text}${restore}${down}`;
    });
    this.#output.write(drawn.join("")).catch(() => undefined);
  }
}

/** Down and up again: only a cursor in the last row moves, and its text with it. */
const makeRoom = "\u001bD\u001bM";
/** Cursor and colours. */
const save = "\u001b7";
const restore = "\u001b8";
const insertRow = "\u001b[L";
const down = "\u001b[B";

type NoteContext = Pick<Context, "stdout" | "stderr" | "env" | "colour">;
