import type { Context } from "../../cli/context.ts";
import { formatDuration } from "../../cli/duration.ts";
import { renderTable } from "../../cli/table.ts";
import { rolloutLimits } from "./rollout-limits.ts";
import type { TourStep, TourView } from "./rollout-step.ts";
import type { RolloutTarget } from "./rollout-record.ts";

/** A machine at work, as a row of the table. */
export interface ScreenRow {
  readonly target: RolloutTarget;
  readonly tour: TourView;
  readonly sinceMs: number;
}

/**
 * The machines at work, on a terminal: redrawn in place, at most ten times a second, gone at the end.
 * Lines that are to stay are written above.
 */
export class RolloutScreen {
  readonly #context: Context;
  readonly #draw: () => string;
  readonly #ticking: ReturnType<typeof setInterval>;
  #height = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(context: Context, draw: () => string) {
    this.#context = context;
    this.#draw = draw;
    // How long a step takes goes on although nothing happens.
    this.#ticking = setInterval(() => this.update(), rolloutLimits.drawAnywayMs);
  }

  static fits({ env, stderr }: Context): boolean {
    const told = env["CI"] !== undefined && env["CI"] !== "";
    return stderr.isTty && env["TERM"] !== "dumb" && !told;
  }

  /** Something has changed. */
  update(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => this.#redraw(""), rolloutLimits.drawEveryMs);
  }

  /** A line that stays. */
  say(line: string): void {
    this.#redraw(`${line}\n`);
  }

  async close(): Promise<void> {
    clearInterval(this.#ticking);
    clearTimeout(this.#timer);
    this.#closed = true;
    await this.#write(this.#erase());
  }

  #redraw(above: string): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#closed) return;
    const erase = this.#erase();
    const text = this.#draw();
    this.#height = text.split("\n").length - 1;
    void this.#write(erase + above + text);
  }

  #erase(): string {
    const up = this.#height === 0 ? "" : `\u001b[${this.#height}A\r\u001b[J`;
    this.#height = 0;
    return up;
  }

  /** Nobody waits for a picture, and a reader that went away is no reason to stop the work. */
  async #write(text: string): Promise<void> {
    await this.#context.stderr.write(text).catch(() => undefined);
  }
}

/** Cut to the width and height of the terminal: a line that wraps would spoil the redrawing. */
export function screenText(
  rows: readonly ScreenRow[],
  summary: string,
  size: { readonly columns: number; readonly rows: number; readonly nowMs: number },
): string {
  const shown = rows.slice(0, Math.max(1, Math.min(rolloutLimits.tableRowsMax, size.rows - 4)));
  const table = renderTable(
    ["MACHINE", "TENANT", "REGION", "STEP", "FOR"],
    shown.map(({ target, tour, sinceMs }) => [
      target.id,
      target.tenant,
      target.region,
      stepWords(tour),
      formatDuration(size.nowMs - sinceMs),
    ]),
  );
  const more = rows.length > shown.length ? `and ${rows.length - shown.length} more\n` : "";
  return `${table}${more}${summary}\n`
    .split("\n")
    .map((line) => line.slice(0, Math.max(20, size.columns - 1)))
    .join("\n");
}

function stepWords({ goal, step, parked }: ScreenRow["tour"]): string {
  const words = parked ? "waiting for its turn" : steps[step];
  return goal === "old" ? `rolling back: ${words}` : words;
}

const steps: Record<TourStep, string> = {
  lease: "taking the lease",
  look: "looking",
  drain: "waiting for its sessions to end",
  cordon: "cordoning",
  update: "updating",
  launch: "starting it",
  settle: "letting it come to rest",
  start: "starting",
  health: "checking",
  handshake: "shaking hands",
  soak: "soaking",
  uncordon: "uncordoning",
  release: "giving it back",
  over: "done",
};
