import type { Context } from "../../cli/context.ts";
import { printable } from "../../cli/printable.ts";
import { RolloutScreen, type ScreenRow, screenText } from "./rollout-screen.ts";
import type { RolloutTarget } from "./rollout-record.ts";
import type { RolloutState } from "./rollout-state.ts";
import { tallyOf, tallyWords } from "./rollout-tally.ts";
import type { Rollout, RolloutNotice } from "./rollout.ts";

export interface ReporterOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly rollout: Rollout;
  /** The last events of a machine, a line each. */
  readonly eventsOf: (machine: string) => readonly string[];
  /** The last lines of its init's log, where they can be had. */
  readonly logOf: (machine: string) => Promise<readonly string[]>;
}

/** Tells what becomes of the machines: NDJSON on stdout, or on stderr a live table or a line each. */
export class RolloutReporter {
  readonly #context: Context;
  readonly #options: ReporterOptions;
  readonly #screen: RolloutScreen | undefined;
  readonly #last = new Map<string, string>();
  readonly #since = new Map<string, number>();
  readonly #quoting: Promise<void>[] = [];
  #written: Promise<unknown> = Promise.resolve();

  constructor(context: Context, options: ReporterOptions) {
    this.#context = context;
    this.#options = options;
    const live = !options.json && !options.quiet && RolloutScreen.fits(context);
    this.#screen = live ? new RolloutScreen(context, () => this.#picture()) : undefined;
  }

  tell(notice: RolloutNotice): void {
    if (notice.kind === "failed") this.#quoting.push(this.#quoteLog(notice.machine));
    if (notice.kind === "machine") this.#tellMachine(notice);
    else if (this.#options.json) this.#json({ type: notice.kind, ...named(notice) });
    else this.#tellTrouble(notice);
  }

  /** Lines for people, kept. What machines and servers said is in them. */
  say(...lines: readonly string[]): void {
    if (this.#options.json || this.#options.quiet) return;
    const line = lines.map(printable).join("\n");
    if (this.#screen !== undefined) this.#screen.say(line);
    else this.#write("stderr", `${line}\n`);
  }

  async close(): Promise<void> {
    await Promise.all(this.#quoting);
    await this.#screen?.close();
    await this.#written;
  }

  #tellMachine(notice: Extract<RolloutNotice, { kind: "machine" }>): void {
    const { machine, goal, step, outcome, reason } = notice;
    const key = `${goal} ${step}`;
    // A gate looks again and again; that is no news.
    if (this.#last.get(machine) === key) return;
    this.#last.set(machine, key);
    this.#since.set(machine, this.#context.monotonicMs());
    if (this.#options.json) {
      const target = this.#target(machine);
      this.#json({
        type: "machine",
        machine_id: machine,
        tenant_id: target?.tenant ?? null,
        region: target?.region === "" ? null : (target?.region ?? null),
        goal,
        step,
        outcome: outcome ?? null,
        reason: reason ?? null,
      });
      return;
    }
    this.#screen?.update();
    if (step === "over" && outcome !== undefined) this.#sayEnd(machine, outcome, reason);
  }

  #sayEnd(machine: string, outcome: string, reason: string | undefined): void {
    const machines = [...this.#state.machines.values()];
    const ended = machines.filter((each) => each.ended !== undefined).length;
    const why = reason === undefined ? "" : `: ${reason}`;
    this.say(
      `[${ended}/${machines.length}] machine ${this.#words(machine)} ${outcome.replace("-", " ")}${why}`,
    );
  }

  async #quoteLog(machine: string): Promise<void> {
    const lines = await this.#options.logOf(machine);
    if (lines.length === 0) return;
    if (this.#options.json) this.#json({ type: "log", machine_id: machine, lines });
    else this.say(`log of machine ${machine}:`, ...lines.map((line) => `    ${line}`));
  }

  #tellTrouble(notice: Exclude<RolloutNotice, { kind: "machine" }>): void {
    if (notice.kind === "refused") this.say(`the token is refused: ${notice.reason}`);
    else if (notice.kind === "cut")
      this.say(`machine ${this.#words(notice.machine)} ${notice.reason}`);
    else if (notice.kind === "stranded")
      this.say(`machine ${this.#words(notice.machine)} is not given back: ${notice.reason}`);
    else {
      const events = this.#options.eventsOf(notice.machine).map((line) => `    ${line}`);
      this.say(`machine ${this.#words(notice.machine)} failed: ${notice.reason}`, ...events);
    }
  }

  #picture(): string {
    const nowMs = this.#context.monotonicMs();
    const rows = [...this.#options.rollout.tours].flatMap(([id, tour]): ScreenRow[] => {
      const target = this.#target(id);
      return target === undefined ? [] : [{ target, tour, sinceMs: this.#since.get(id) ?? nowMs }];
    });
    const { columns, rows: height } = this.#context.stderr;
    const summary = tallyWords(tallyOf(this.#state), "at work");
    return screenText(rows, summary, { columns, rows: height, nowMs });
  }

  get #state(): RolloutState {
    return this.#options.rollout.state;
  }

  #target(machine: string): RolloutTarget | undefined {
    return this.#state.machines.get(machine)?.target;
  }

  #words(machine: string): string {
    const { tenant = "", region = "" } = this.#target(machine) ?? {};
    return `${machine} (${[tenant, region].filter((word) => word !== "").join(", ")})`;
  }

  #json(value: Record<string, unknown>): void {
    this.#write("stdout", `${JSON.stringify(value)}\n`);
  }

  #write(stream: "stdout" | "stderr", text: string): void {
    this.#written = this.#context[stream].write(text).catch(() => undefined);
  }
}

function named(notice: Exclude<RolloutNotice, { kind: "machine" }>): Record<string, unknown> {
  if (notice.kind === "refused") return { reason: notice.reason };
  const sessions = notice.kind === "cut" ? { sessions: notice.sessions ?? null } : {};
  return { machine_id: notice.machine, ...sessions, reason: notice.reason };
}
