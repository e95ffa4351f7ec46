import { randomInt } from "node:crypto";
import { behaviourOf } from "./behaviour.ts";
import { checkPlans, type CheckView } from "./health-checks.ts";
import type { LocalHost } from "./host.ts";
import type { MachineHost } from "./machine.ts";
import { stopPlan, stringMap } from "./machine-config.ts";
import type { ExecRequest, ExecResult } from "./machine-exec.ts";
import type { MachineExit, MachineProcess } from "./machine-process.ts";
import type { MachineRecord } from "./record.ts";

/** How long things take where nothing really runs. */
export interface SimulatedTimes {
  readonly startMs: number;
  /** From the start until checks pass; `bad-exit` ends and `bad-later` turns bad three times as late. */
  readonly checksMs: number;
  readonly stopMs: number;
}

/** For fleets that are only records: machines that change their states in time, and run nothing. */
export class SimulatedHost implements LocalHost {
  readonly #times: SimulatedTimes;
  readonly changed: MachineHost["changed"];
  readonly log: MachineHost["log"];
  readonly wallMs: MachineHost["wallMs"];

  constructor(
    options: Pick<MachineHost, "changed" | "log" | "wallMs"> & { readonly times: SimulatedTimes },
  ) {
    this.#times = options.times;
    this.changed = options.changed;
    this.log = options.log;
    this.wallMs = options.wallMs;
  }

  readonly launch = (record: MachineRecord): MachineProcess => {
    const behaviour = behaviourOf(record.config);
    if (behaviour === "bad-start") throw new Error("the image cannot be started");
    return simulateProcess(record, this.#times, this.#times.startMs);
  };

  /** What was started is still so: there is nothing that could have ended. */
  readonly adopt = (record: MachineRecord): MachineProcess | undefined =>
    record.process === undefined ? undefined : simulateProcess(record, this.#times, 0);

  readonly restartDelayMs = (): number => this.#times.startMs;

  /** Of an init that is not there: what its two reports would say. */
  readonly execute = async (
    { config }: MachineRecord,
    { command }: ExecRequest,
  ): Promise<ExecResult> => {
    const open = Number(stringMap(config["metadata"])[openSessionsKey] ?? 0);
    const reports = new Map([
      ["init sessions", JSON.stringify({ open, running: open })],
      ["init log", JSON.stringify({ event: "simulated", behaviour: behaviourOf(config) })],
    ]);
    const stdout = reports.get(command.slice(0, 2).join(" "));
    const found = stdout !== undefined && behaviourOf(config) !== "bad-exit";
    const stderr = found ? "" : `${command[0]}: not found`;
    return { exit_code: found ? 0 : 127, exit_signal: 0, stdout: stdout ?? "", stderr };
  };

  readonly settle = (): void => undefined;
  readonly keepSocket = (): void => undefined;
  readonly closeSockets = (): void => undefined;
  readonly pollChecks = (): void => undefined;
  readonly trimLog = (): void => undefined;

  /** In the form of Fly's private network. Nobody answers there. */
  readonly newAddress = async (): Promise<string> => {
    const [network, host, one, two] = [0, 0, 0, 0].map(() => randomInt(1, 0x10000).toString(16));
    return `fdaa:0:${network}:a7b:${host}:${one}:${two}:2`;
  };

  readonly checks = (record: MachineRecord): CheckView[] => {
    const started = record.events.find(({ status }) => status === "started");
    const runsMs = started === undefined ? 0 : this.wallMs() - started.timestamp;
    const { checksMs } = this.#times;
    const behaviour = behaviourOf(record.config);
    const fails = behaviour === "bad" || (behaviour === "bad-later" && runsMs > 3 * checksMs);
    const passes = record.state === "started" && runsMs >= checksMs && !fails;
    return checkPlans(record.config).map(({ name }) => ({
      name,
      status: passes ? "passing" : "critical",
      output: passes ? "200 OK" : "connect: connection refused",
      updated_at: new Date(started?.timestamp ?? record.createdAtMs).toISOString(),
    }));
  };
}

/** The metadata key that says how many sessions of a machine that is only a record are open. */
const openSessionsKey = "fly_local.open_sessions";

function simulateProcess(
  { config }: MachineRecord,
  times: SimulatedTimes,
  startMs: number,
): MachineProcess {
  const behaviour = behaviourOf(config);
  const stopSignals = new Set(["SIGINT", "SIGTERM", "SIGQUIT", stopPlan(config).signal]);
  const exited = Promise.withResolvers<MachineExit>();
  const timers: NodeJS.Timeout[] = [];
  const later = (ms: number, work: () => void): void => {
    timers.push(setTimeout(work, ms).unref());
  };
  const end = (exit: MachineExit): void => {
    for (const timer of timers) clearTimeout(timer);
    exited.resolve(exit);
  };
  const ready = new Promise<void>((resolve) => {
    if (behaviour !== "bad-stuck") later(startMs, resolve);
  });
  if (behaviour === "bad-exit")
    later(startMs + times.checksMs / 3, () => end({ exitCode: 1, signal: undefined }));
  return {
    // No process has this number, so nothing can ever be done to one by mistake.
    identity: { pid: 0, startTicks: "simulated" },
    ready,
    exited: exited.promise,
    signal(name) {
      if (name === "SIGKILL") end({ exitCode: undefined, signal: name });
      else if (behaviour !== "bad-stop" && stopSignals.has(name))
        later(times.stopMs, () => end({ exitCode: 0, signal: undefined }));
    },
    freeze: () => [],
    async kill() {
      end({ exitCode: undefined, signal: "SIGKILL" });
    },
  };
}
