import { totalmem } from "node:os";
import type { Context } from "../../cli/context.ts";
import { limits } from "../../protocol/limits.ts";
import type { SessionOpenRequest } from "../../protocol/session-message.ts";
import type { Log } from "../../system/log.ts";
import { ChildReaper } from "../../system/reaper.ts";
import { GuestProcesses } from "./guest-processes.ts";
import type { InitOptions } from "./options.ts";
import { OutOfMemory } from "./out-of-memory.ts";
import { GuestPorts } from "./ports/guest-ports.ts";
import { PortWatch } from "./ports/port-watch.ts";
import { type SessionProcess, startSession } from "./session-process.ts";
import { SessionTable } from "./session-table.ts";
import { Workload } from "./workload.ts";

/** What runs in the machine: the workload, and the sessions in it. */
export interface Guest {
  readonly workload: Workload;
  readonly sessions: SessionTable;
  readonly processes: GuestProcesses;
  /** What they listen on. */
  readonly ports: PortWatch;
  /** Resolves when somebody inside switches the machine off. */
  readonly poweredOff: Promise<"power-off">;
  /** As if somebody inside did. */
  powerOff(): void;
  /** When nothing of it runs any more. */
  close(): void;
}

/** Nothing is started yet. */
export function assembleGuest(options: InitOptions, context: Context, log: Log): Guest {
  const { dataDir, hostname, stopGraceMs } = options;
  const memory = new OutOfMemory(log);
  memory.start();
  const reaper = new ChildReaper(memory.explainsKill);
  const powerOff = Promise.withResolvers<"power-off">();
  const onPowerOff = (): void => powerOff.resolve("power-off");
  const workload = new Workload({ dataDir, hostname, stopGraceMs, reaper, log, onPowerOff });
  const sessions = new SessionTable({
    start: (request) => {
      const started = startSession(workload.running, request, reaper);
      void memory.follow(namesOf(request, started), started.ended);
      return started;
    },
    ringBytes: options.ringBytes,
    ringsBytesMax: options.ringsBytesMax ?? ringsBytesFor(options.ringBytes),
    randomId: () => crypto.randomUUID(),
    wallMs: context.wallMs,
    monotonicMs: context.monotonicMs,
  });
  const processes = new GuestProcesses(() => workload.running, reaper);
  const guestPorts = new GuestPorts(() => [
    ...(workload.pid === null ? [] : [workload.pid]),
    ...sessions.running.map(({ program }) => program.pid),
  ]);
  const ports = new PortWatch(() => guestPorts.look());
  workload.onStopping(() => sessions.hangUpAll());
  workload.onStopping(() => processes.killAll());
  return {
    workload,
    sessions,
    processes,
    ports,
    poweredOff: powerOff.promise,
    powerOff: onPowerOff,
    close: () => {
      processes.killAll();
      memory.stop();
      sessions.close();
    },
  };
}

/** Unless told otherwise: what the machine can spare, and one ring at least. */
function ringsBytesFor(ringBytes: number): number {
  return Math.max(ringBytes, Math.min(limits.ringsBytesMax, Math.floor(totalmem() / 8)));
}

function namesOf(
  request: SessionOpenRequest,
  { argv }: SessionProcess,
): Readonly<Record<string, string>> {
  const { id, name } = request;
  return { session: id, ...(name === undefined ? {} : { name }), program: argv[0] ?? "" };
}
