import * as v from "valibot";
import { printable } from "../../cli/printable.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { rolloutLimits } from "./rollout-limits.ts";

type ExecApi = Pick<MachinesApi, "executeIn">;

/** What init says of itself, asked by a command in the machine: that works from wherever the API does. */

/** How many sessions the machine's end would be felt by. Rejects with `MachinesApiError`, and nothing else. */
export async function openSessions(api: ExecApi, id: string): Promise<number> {
  const text = await report(api, id, ["sessions"]);
  const counts = v.safeParse(countsShape, parseJson(text));
  if (counts.success) return counts.output.open;
  throw new MachinesApiError("refused", "init did not count its sessions", { action });
}

/** The last lines of init's log, or none where it cannot be had. */
export async function lastLogLines(api: ExecApi, id: string): Promise<string[]> {
  try {
    const text = await report(api, id, ["log", "--tail", String(rolloutLimits.logLinesShown)]);
    const lines = text.split("\n").filter((line) => line !== "");
    return lines
      .slice(-rolloutLimits.logLinesShown)
      .map((line) => printable(line.slice(0, lineCharsMax)));
  } catch (error) {
    if (error instanceof MachinesApiError) return [];
    throw error;
  }
}

export interface SessionCensus {
  /** Machines with open sessions, and how many. */
  readonly open: ReadonlyMap<string, number>;
  /** Machines that did not say, and why. */
  readonly unknown: ReadonlyMap<string, string>;
}

/** Asks all of them, some at a time, and no longer than is bearable. */
export async function countSessions(
  api: ExecApi,
  machines: readonly FlyMachine[],
  sleep: (ms: number) => Promise<unknown>,
): Promise<SessionCensus> {
  const open = new Map<string, number>();
  const unknown = new Map(machines.map(({ id }) => [id, "there was no time to ask"]));
  const waiting = machines.map(({ id }) => id);
  const over = new AbortController();
  const ask = async (): Promise<void> => {
    for (let id = waiting.shift(); id !== undefined && !over.signal.aborted; id = waiting.shift()) {
      const told = await openSessions(api, id).catch(asWords);
      if (over.signal.aborted) return;
      if (typeof told === "string") unknown.set(id, told);
      else unknown.delete(id);
      if (typeof told === "number" && told > 0) open.set(id, told);
    }
  };
  const asking = Promise.all(Array.from({ length: rolloutLimits.censusAtOnceMax }, ask));
  await Promise.race([asking, sleep(rolloutLimits.censusMs)]);
  over.abort();
  asking.catch(() => undefined);
  return { open, unknown };
}

function asWords(error: unknown): string {
  if (error instanceof MachinesApiError) return apiErrorLine(error);
  throw error;
}

async function report(api: ExecApi, id: string, words: readonly string[]): Promise<string> {
  const command = ["init", ...words];
  const done = await api.executeIn(id, command, rolloutLimits.reportSeconds);
  if (done.exit_code === 0 && done.exit_signal === 0) return done.stdout ?? "";
  const [line = ""] = (done.stderr ?? "").trim().split("\n", 1);
  const said = printable(line.slice(0, lineCharsMax)) || "no reason given";
  throw new MachinesApiError("refused", `"${command.join(" ")}" failed there: ${said}`, { action });
}

function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

const action = "ask init";
const lineCharsMax = rolloutLimits.wordsMax;
const countsShape = v.object({
  open: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(0),
    v.maxValue(rolloutLimits.openSessionsMax),
  ),
});
