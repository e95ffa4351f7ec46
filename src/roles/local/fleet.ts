import { ApiError } from "./api-error.ts";
import { newMachineId, newMachineName, newVolumeId, numericId, ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import { unusedLoopbackAddress } from "./loopback-address.ts";
import { Machine, type MachineHost } from "./machine.ts";
import type { MachineConfig } from "./machine-config.ts";
import { attachVolumes } from "./mount-volumes.ts";
import type { AppRecord, MachineRecord, VolumeRecord } from "./record.ts";
import { removeTree } from "./remove-tree.ts";
import type { StateStore } from "./state-store.ts";

/** All apps, machines and volumes of this small Fly. */
export class Fleet {
  readonly #store: StateStore;
  readonly #host: MachineHost;
  readonly #strictApps: boolean;
  readonly #machines = new Map<string, Machine>();

  constructor(store: StateStore, host: MachineHost, options: { readonly strictApps: boolean }) {
    this.#store = store;
    this.#host = host;
    this.#strictApps = options.strictApps;
    this.#dropOldTombstones();
    for (const record of store.state.machines) {
      this.#machines.set(record.id, new Machine(record, host));
    }
  }

  get machines(): readonly Machine[] {
    return [...this.#machines.values()];
  }

  get apps(): readonly AppRecord[] {
    return this.#store.state.apps;
  }

  /** By the clock of the host, in whole milliseconds, as all times of records are. */
  get nowMs(): number {
    return Math.floor(this.#host.wallMs());
  }

  /** Takes up what still runs, and starts what ran when fly-local was last stopped in order. */
  recover(): void {
    for (const machine of this.machines) {
      machine.adopt();
      if (machine.record.state === "destroying") void this.destroyMachine(machine, true);
      if (!machine.record.resume) continue;
      machine.record.resume = false;
      if (!machine.isRunning && machine.record.state === "stopped") machine.start("flyd");
    }
    this.#store.save();
  }

  /** Stops every machine and remembers to start it the next time. */
  async stopAll(): Promise<void> {
    for (const machine of this.machines) {
      machine.record.resume = ["started", "restarting"].includes(machine.record.state);
      machine.stop();
    }
    await Promise.all(this.machines.map(async (machine) => machine.stopped()));
    this.#store.save();
  }

  existingApp(name: string): AppRecord {
    const app = this.apps.find((candidate) => candidate.name === name);
    if (app === undefined) throw new ApiError(404, `app ${name} not found`);
    return app;
  }

  /** An app is there as soon as somebody uses it: nobody wants to register before a first try. */
  app(name: string): AppRecord {
    const known = this.#strictApps || this.apps.some((candidate) => candidate.name === name);
    return known ? this.existingApp(name) : this.createApp(name, "default");
  }

  createApp(name: string, network: string): AppRecord {
    if (!/^[a-z0-9][a-z0-9-]{0,61}$/u.test(name)) {
      throw new ApiError(400, `invalid_argument: app name ${JSON.stringify(name)}`);
    }
    if (this.apps.some((app) => app.name === name)) {
      throw new ApiError(
        422,
        `Validation failed: Name ${name} has already been taken`,
        "name_taken",
      );
    }
    if (this.apps.length >= localLimits.appsMax) throw new ApiError(422, "too many apps");
    const app = { name, id: numericId(), network, createdAtMs: this.nowMs };
    this.#store.state.apps.push(app);
    this.#store.save();
    return app;
  }

  machinesOf(app: string): Machine[] {
    return this.machines.filter((machine) => machine.record.app === app);
  }

  machine(app: string, id: string): Machine {
    const machine = this.#machines.get(id);
    if (machine === undefined || machine.record.app !== app) {
      throw new ApiError(404, `machine ${id} not found`);
    }
    return machine;
  }

  async createMachine(asked: {
    readonly app: string;
    readonly name: string | undefined;
    readonly region: string;
    readonly config: MachineConfig;
  }): Promise<Machine> {
    const live = this.machines.filter((machine) => machine.record.state !== "destroyed");
    if (live.length >= localLimits.machinesMax) {
      throw new ApiError(422, "machine limit reached", "insufficient_capacity");
    }
    this.#checkName(asked.app, asked.name);
    const address = await unusedLoopbackAddress(new Set(live.map((each) => each.record.address)));
    // Nothing is awaited from here on: two requests never get the same name or volume.
    this.#checkName(asked.app, asked.name);
    const id = newMachineId();
    const config = attachVolumes(asked, this.volumesOf(asked.app), id);
    const { nowMs } = this;
    const record: MachineRecord = {
      id,
      app: asked.app,
      name: asked.name ?? newMachineName(),
      region: asked.region,
      state: "created",
      version: ulid(nowMs),
      address,
      config,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      cordoned: false,
      restarts: 0,
      resume: false,
      events: [
        {
          id: ulid(nowMs),
          type: "launch",
          status: "created",
          source: "user",
          timestamp: nowMs,
        },
      ],
    };
    const machine = new Machine(record, this.#host);
    this.#machines.set(id, machine);
    this.#store.state.machines.push(record);
    this.#store.save();
    return machine;
  }

  async destroyMachine(machine: Machine, force: boolean): Promise<void> {
    await machine.destroy(force);
    this.detach(machine.record.id);
    await removeTree(this.#store.machineDir(machine.record.id));
    this.#dropOldTombstones();
    this.#store.save();
  }

  detach(machineId: string): void {
    for (const volume of this.#store.state.volumes) {
      if (volume.machineId === machineId) delete volume.machineId;
    }
  }

  volumesOf(app: string): VolumeRecord[] {
    return this.#store.state.volumes.filter((volume) => volume.app === app);
  }

  volume(app: string, id: string): VolumeRecord {
    const volume = this.volumesOf(app).find((candidate) => candidate.id === id);
    if (volume === undefined) throw new ApiError(404, `volume ${id} not found`);
    return volume;
  }

  createVolume(
    asked: Pick<
      VolumeRecord,
      "app" | "name" | "region" | "sizeGb" | "encrypted" | "snapshotRetention"
    >,
  ): VolumeRecord {
    if (this.#store.state.volumes.length >= localLimits.volumesMax) {
      throw new ApiError(422, "volume limit reached", "insufficient_capacity");
    }
    const volume: VolumeRecord = {
      ...asked,
      id: newVolumeId(),
      state: "created",
      createdAtMs: this.nowMs,
    };
    this.#store.state.volumes.push(volume);
    this.#store.save();
    return volume;
  }

  /** The bytes go at once, the entry lingers in lists for a day, as on Fly. */
  async destroyVolume(volume: VolumeRecord): Promise<void> {
    if (volume.machineId !== undefined) {
      throw new ApiError(
        412,
        `failed_precondition: volume ${volume.id} is attached to machine ${volume.machineId}`,
      );
    }
    volume.state = "pending_destroy";
    volume.destroyedAtMs ??= this.nowMs;
    this.#store.save();
    await removeTree(this.#store.volumeDir(volume.id));
  }

  #checkName(app: string, name: string | undefined): void {
    if (name === undefined) return;
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/u.test(name)) {
      throw new ApiError(400, `invalid_argument: machine name ${JSON.stringify(name)}`);
    }
    const holder = this.machinesOf(app).find(
      ({ record }) => record.name === name && record.state !== "destroyed",
    );
    if (holder === undefined) return;
    throw new ApiError(
      422,
      `already_exists: unique machine name violation, machine ID ${holder.record.id} already exists with name ${name}`,
    );
  }

  #dropOldTombstones(): void {
    const { state } = this.#store;
    const oldestMs = this.#host.wallMs() - localLimits.tombstoneMs;
    const dead = state.machines.filter((record) => record.state === "destroyed");
    const surplus = new Set(dead.slice(0, Math.max(0, dead.length - localLimits.tombstonesMax)));
    state.machines = state.machines.filter(
      (record) =>
        record.state !== "destroyed" || (!surplus.has(record) && record.updatedAtMs > oldestMs),
    );
    const known = new Set(state.machines.map((record) => record.id));
    for (const id of this.#machines.keys()) if (!known.has(id)) this.#machines.delete(id);
    state.volumes = state.volumes.filter(
      (volume) => volume.destroyedAtMs === undefined || volume.destroyedAtMs > oldestMs,
    );
  }
}
