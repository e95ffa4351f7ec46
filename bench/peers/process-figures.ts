import { readdirSync, readFileSync } from "node:fs";

/** What the kernel knows of a process, in units of people. */

export function residentMb(pid: number): number {
  return field(pid, "VmRSS") / 1000;
}

/** The most that it had since it began with this program. */
export function peakResidentMb(pid: number): number {
  return field(pid, "VmHWM") / 1000;
}

/** What nobody shares and no file holds: it would be free without this process. */
export function ownMb(pid: number): number {
  return field(pid, "Private_Dirty", "smaps_rollup") / 1000;
}

/** User and system time of the process alone. */
export function cpuSeconds(pid: number): number {
  const [user = 0, system = 0] = statTicks(pid);
  return (user + system) / ticksPerSecond;
}

/** How often its threads went to sleep of their own accord: each time somebody had woken them. */
export function wakeUps(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/status`, "latin1"))
    .reduce(
      (sum, text) => sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0),
      0,
    );
}

/** Process ids whose command line or environment holds this text. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => (read(pid, "cmdline") + read(pid, "environ")).includes(text));
}

/** With a space behind each word. */
export function commandLine(pid: number): string {
  return read(pid, "cmdline").replaceAll("\0", " ");
}

const ticksPerSecond = 100;

/** utime, stime, cutime, cstime. */
function statTicks(pid: number): readonly number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 15)
    .map(Number);
}

/** In kB of 1024 bytes, as the kernel says; here as thousands of bytes. */
function field(pid: number, name: string, file = "status"): number {
  const text = readFileSync(`/proc/${pid}/${file}`, "latin1");
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0) * 1.024;
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    // It ended while we looked.
    return "";
  }
}
