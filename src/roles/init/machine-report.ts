import { readFileSync, statfsSync } from "node:fs";
import { loadavg } from "node:os";
import type { Context } from "../../cli/context.ts";
import type { Report } from "../../protocol/message.ts";
import type { SessionTable } from "./session-table.ts";

export interface ReportedParts {
  readonly dataDir: string;
  readonly sessions: Pick<SessionTable, "list">;
  /** Monotonic. */
  readonly startedMs: number;
  /** Where it stops by itself. */
  readonly idle: { readonly report: Report["idle"] } | undefined;
}

/** How the machine is right now. */
export function machineReport(
  { dataDir, sessions, startedMs, idle: timer }: ReportedParts,
  { monotonicMs, wallMs }: Pick<Context, "monotonicMs" | "wallMs">,
): Report {
  const running = sessions.list().sessions.filter(({ state }) => state === "running");
  const disk = diskSpace(dataDir);
  const memory = memorySpace();
  const idle = timer?.report;
  return {
    uptime_ms: Math.max(0, Math.round(monotonicMs() - startedMs)),
    clock_ms: Math.round(wallMs()),
    sessions_running: running.length,
    sessions_attached: running.filter(({ attached }) => attached).length,
    ...(disk === undefined ? {} : { disk }),
    ...(memory === undefined ? {} : { memory }),
    load: loadavg()[0] ?? 0,
    ...(idle === undefined ? {} : { idle }),
  };
}

function diskSpace(path: string): Report["disk"] {
  try {
    const { bsize, blocks, bavail } = statfsSync(path);
    return { total_bytes: blocks * bsize, available_bytes: bavail * bsize };
  } catch {
    return undefined;
  }
}

/** `MemAvailable` is what can be had without swapping (proc_meminfo(5)); `MemFree` says little. */
function memorySpace(): Report["memory"] {
  try {
    const text = readFileSync("/proc/meminfo", "utf8");
    const kib = (key: string): number =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? Number.NaN);
    const [total, available] = [kib("MemTotal"), kib("MemAvailable")];
    if (Number.isNaN(total) || Number.isNaN(available)) return undefined;
    return { total_bytes: total * 1024, available_bytes: available * 1024 };
  } catch {
    return undefined;
  }
}
