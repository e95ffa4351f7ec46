import { readdirSync, readFileSync } from "node:fs";
import { initLimits } from "../limits.ts";

/** Parents of all processes, by their numbers outside. */
export type ProcessTree = ReadonlyMap<number, number>;

/** Gives way in between: there may be thousands. */
export async function readProcessTree(): Promise<ProcessTree> {
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .slice(0, initLimits.portProcessesMax);
  const tree = new Map<number, number>();
  for (const [step, pid] of pids.entries()) {
    if (step % initLimits.portTurnSteps === 0) await Bun.sleep(0);
    const parent = statOf(Number(pid))?.parent;
    if (parent !== undefined) tree.set(Number(pid), parent);
  }
  return tree;
}

/** A process and those above it, the nearest first, as far as `tree` knows them. */
export function ancestry(tree: ProcessTree, pid: number): number[] {
  const line: number[] = [];
  for (let at: number | undefined = pid; at !== undefined && !line.includes(at); at = tree.get(at))
    line.push(at);
  return line;
}

/**
 * What the kernel itself knows of a process: neither read waits for its memory, which somebody in
 * there may have mapped from a file system that hangs (as `cmdline` and `environ` would).
 */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // A name may have parentheses and blanks in it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { parent: Number(fields[1]), startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

export interface ProcessStat {
  readonly parent: number;
  /** Since the kernel booted: another process of the same number has another. */
  readonly startTicks: number;
}
