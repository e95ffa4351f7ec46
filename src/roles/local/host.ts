import { copyFileSync, existsSync, mkdirSync, renameSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { CheckView } from "./health-checks.ts";
import { HealthProber } from "./health-prober.ts";
import { ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import { unusedLoopbackAddress } from "./loopback-address.ts";
import type { MachineHost } from "./machine.ts";
import { commandWords, mountsOf } from "./machine-config.ts";
import { type ExecRequest, type ExecResult, execute } from "./machine-exec.ts";
import {
  apiSocketPath,
  machineEnvironment,
  rootDiskPath,
  runDirPath,
} from "./machine-environment.ts";
import {
  adoptMachineProcess,
  type MachineProcess,
  spawnMachineProcess,
} from "./machine-process.ts";
import { type MachineSocket, openMachineSocket, type SocketServices } from "./machine-socket.ts";
import type { MachineRecord } from "./record.ts";
import { removeTree } from "./remove-tree.ts";
import type { StateStore } from "./state-store.ts";

/** A machine's host, with what has to be looked after while machines run on it. */
export interface LocalHost extends MachineHost {
  /** For a machine that has run on while no fly-local was there. */
  keepSocket(record: MachineRecord): void;
  closeSockets(): void;
  /** Begins the health checks that are due, of the machines that are started. */
  pollChecks(started: readonly MachineRecord[]): void;
  /** A machine's log never grows beyond twice its limit; the older half is kept beside it. */
  trimLog(machineId: string): void;
}

/** The computer on which the machines live: their folders, sockets and processes. */
export class Host implements LocalHost {
  readonly #store: StateStore;
  readonly #entrypoint: readonly string[];
  readonly #services: () => SocketServices;
  readonly #sockets = new Map<string, MachineSocket>();
  readonly #prober: HealthProber;
  readonly changed: MachineHost["changed"];
  readonly log: MachineHost["log"];
  readonly wallMs: MachineHost["wallMs"];

  constructor(options: {
    readonly store: StateStore;
    readonly changed: MachineHost["changed"];
    readonly entrypoint: readonly string[];
    /** Read late: routes need the fleet, and the fleet needs its host. */
    readonly services: () => SocketServices;
    readonly log: MachineHost["log"];
    readonly wallMs: MachineHost["wallMs"];
  }) {
    this.#store = options.store;
    this.#entrypoint = options.entrypoint;
    this.#services = options.services;
    this.#prober = new HealthProber(options.wallMs);
    this.changed = options.changed;
    this.log = options.log;
    this.wallMs = options.wallMs;
  }

  readonly newAddress = unusedLoopbackAddress;

  readonly checks = (record: MachineRecord): readonly CheckView[] => this.#prober.views(record);

  readonly pollChecks = (started: readonly MachineRecord[]): void => this.#prober.poll(started);

  readonly restartDelayMs = (restarts: number): number =>
    Math.min(localLimits.restartDelayMs * 2 ** restarts, localLimits.restartDelayMsMax);

  readonly adopt = (record: MachineRecord): MachineProcess | undefined =>
    record.process === undefined
      ? undefined
      : adoptMachineProcess(record.process, record.frozen ?? []);

  readonly launch = (record: MachineRecord): MachineProcess => {
    const dir = this.#store.machineDir(record.id);
    for (const wiped of [rootDiskPath(dir), runDirPath(dir)]) this.#discard(wiped);
    for (const needed of [dir, runDirPath(dir)]) mkdirSync(needed, privateFolder);
    mkdirSync(rootDiskPath(dir), { recursive: true, mode: 0o755 });
    for (const { volume } of mountsOf(record.config)) {
      if (volume === undefined) continue;
      mkdirSync(join(this.#store.dir, "volumes"), privateFolder);
      mkdirSync(this.#store.volumeDir(volume), { recursive: true, mode: 0o755 });
    }
    this.#openSocket(record);
    return spawnMachineProcess({
      command: [...this.#entrypoint, ...commandWords(record.config)],
      ...this.#placeOf(record),
      logPath: this.logPath(record.id),
    });
  };

  /** There is no image here: what it would have under init's name is the entrypoint. */
  readonly execute = async (record: MachineRecord, request: ExecRequest): Promise<ExecResult> => {
    const [program = "", ...words] = request.command;
    const isOwn = program === "init" || program === "fly-vault-init";
    const command = isOwn ? [...this.#entrypoint, ...words] : request.command;
    return execute({ ...request, command }, this.#placeOf(record));
  };

  #placeOf(record: MachineRecord): { readonly env: Record<string, string>; readonly dir: string } {
    const dir = this.#store.machineDir(record.id);
    const volume = (id: string): string => this.#store.volumeDir(id);
    return { env: machineEnvironment(record, { machine: dir, volume }), dir };
  }

  /** Out of the way at once, gone when there is time: a disk may hold a whole system. */
  #discard(path: string): void {
    if (!existsSync(path)) return;
    const aside = `${path}.old-${ulid(this.wallMs())}`;
    renameSync(path, aside);
    removeTree(aside).catch((error: unknown) => {
      this.log("warn", "disk-not-removed", { path: aside, error: String(error) });
    });
  }

  keepSocket(record: MachineRecord): void {
    if (!this.#sockets.has(record.id)) this.#openSocket(record);
  }

  #openSocket(record: MachineRecord): void {
    this.#sockets.get(record.id)?.close();
    const path = apiSocketPath(this.#store.machineDir(record.id));
    this.#sockets.set(record.id, openMachineSocket(path, record, this.#services()));
  }

  readonly settle = (record: MachineRecord): void => {
    this.#sockets.get(record.id)?.close();
    this.#sockets.delete(record.id);
  };

  closeSockets(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  logPath(machineId: string): string {
    return join(this.#store.machineDir(machineId), "log");
  }

  trimLog(machineId: string): void {
    const path = this.logPath(machineId);
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size <= localLimits.logBytesMax) return;
    // The machine appends to the open file, so it is emptied in place; a line written just now may go.
    copyFileSync(path, `${path}.1`);
    truncateSync(path);
    this.log("info", "machine-log-trimmed", { machine: machineId, bytes: size });
  }
}

const privateFolder = { recursive: true, mode: 0o700 } as const;
