import { readdirSync, readFileSync } from "node:fs";

/** A process as the kernel names it: pids come back, a pid with its start time does not. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
}

interface ProcessRow extends ProcessIdentity {
  readonly parent: number;
  readonly session: number;
  readonly zombie: boolean;
  readonly stopped: boolean;
}

/** Who holds this pid now, if anybody. */
export function identify(pid: number): ProcessIdentity | undefined {
  const row = readRow(pid);
  return row === undefined ? undefined : { pid: row.pid, startTicks: row.startTicks };
}

/** Still the same process, and not merely its unread exit status. */
export function isAlive(identity: ProcessIdentity): boolean {
  const row = readRow(identity.pid);
  return row !== undefined && row.startTicks === identity.startTicks && !row.zombie;
}

/** By a signal, until another one wakes it. */
export function isStopped(identity: ProcessIdentity): boolean {
  const row = readRow(identity.pid);
  return row !== undefined && row.startTicks === identity.startTicks && row.stopped;
}

/**
 * The process, all below it, and all of its session: what dies when a machine is switched off. Taken
 * before the first of them is killed, since orphans no longer tell where they came from.
 */
export function family(root: ProcessIdentity): ProcessIdentity[] {
  const rows = readRows();
  const members = new Map<number, ProcessRow>();
  for (const row of rows) {
    if (row.session === root.pid || row.pid === root.pid) members.set(row.pid, row);
  }
  for (let size = -1; size !== members.size;) {
    size = members.size;
    for (const row of rows) if (members.has(row.parent)) members.set(row.pid, row);
  }
  return [...members.values()].filter((row) => !row.zombie);
}

/** False when it was gone already. */
export function sendSignal(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  // 0, 1 and what is negative stand for others than one process of ours.
  if (identity.pid <= 1 || !isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

function readRows(): ProcessRow[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .map((name) => readRow(Number(name)))
    .filter((row) => row !== undefined);
}

/** `/proc/PID/stat`: the name in brackets may hold anything, so the fields are counted from the last bracket. */
function readRow(pid: number): ProcessRow | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, , session] = fields;
  const startTicks = fields[19];
  if (startTicks === undefined) return undefined;
  return {
    pid,
    startTicks,
    parent: Number(parent),
    session: Number(session),
    zombie: state === "Z" || state === "X",
    stopped: state === "T",
  };
}
