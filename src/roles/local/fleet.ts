import { ApiError } from "./api-error.ts";
import { type Capacity, checkRoomFor, roomIn } from "./capacity.ts";
import type { CheckView } from "./health-checks.ts";
import { newMachineId, newMachineName, numericId, ulid } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import { Machine, type MachineHost } from "./machine.ts";
import type { MachineConfig } from "./machine-config.ts";
import { remounted } from "./mount-volumes.ts";
import { placeFor } from "./placement.ts";
import type { AppRecord, MachineRecord, VolumeRecord } from "./record.ts";
import { removeTree } from "./remove-tree.ts";
import type { Reader, Replicas } from "./replicas.ts";
import type { StateStore } from "./state-store.ts";
import { Volumes } from "./volumes.ts";

export interface FleetReplicas {
  readonly machines: Replicas<MachineRecord>;
  readonly volumes: Replicas<VolumeRecord>;
}

/** All apps, machines and volumes of this small Fly. */
export class Fleet {
  readonly #store: StateStore;
  readonly #host: MachineHost;
  readonly #strictApps: boolean;
  readonly #capacity: Capacity;
  readonly #replicas: FleetReplicas;
  readonly #machines = new Map<string, Machine>();
  readonly volumes: Volumes;

  constructor(
    store: StateStore,
    host: MachineHost,
    options: {
      readonly strictApps: boolean;
      readonly capacity: Capacity;
      readonly replicas: FleetReplicas;
    },
  ) {
    this.#store = store;
    this.#host = host;
    this.#strictApps = options.strictApps;
    this.#capacity = options.capacity;
    this.#replicas = options.replicas;
    this.volumes = new Volumes(store, options.replicas.volumes, () => this.nowMs);
    this.#dropOldTombstones();
    for (const record of store.state.machines) {
      this.#add(record);
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

  /** Remembers for so long how things were, for those who are to be told old news. */
  rememberFor(ms: number): void {
    const { machines, volumes } = this.#store.state;
    this.#replicas.machines.keep(ms, machines);
    this.#replicas.volumes.keep(ms, volumes);
  }

  seenMachines(app: string, reader: Reader): MachineRecord[] {
    return this.machinesOf(app)
      .map(({ record }) => this.#replicas.machines.seen(record, reader))
      .filter((record) => record !== undefined);
  }

  /** 404 as well for one that this reader has not heard of yet. */
  seenMachine(machine: Machine, reader: Reader): MachineRecord {
    const record = this.#replicas.machines.seen(machine.record, reader);
    if (record === undefined) throw new ApiError(404, `machine ${machine.record.id} not found`);
    return record;
  }

  checksOf(record: MachineRecord): readonly CheckView[] {
    return this.#host.checks(record);
  }

  roomIn(region: string): number {
    return roomIn(region, this.#capacity, this.#store.state.machines);
  }

  /** 409 when the machine rests and its host has no room to start it. */
  checkRoomFor(machine: Machine): void {
    checkRoomFor(machine.record, this.#capacity, this.#store.state.machines);
  }

  /** Takes the app's machines and volumes along. */
  async destroyApp(name: string): Promise<void> {
    for (const machine of this.machinesOf(name)) await this.destroyMachine(machine, true);
    for (const volume of this.volumes.of(name)) await this.volumes.destroy(volume);
    this.#store.state.apps = this.apps.filter((app) => app.name !== name);
    this.#store.save();
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
    /** In the order of preference. */
    readonly regions: readonly string[];
    readonly config: MachineConfig;
    readonly launch: boolean;
  }): Promise<Machine> {
    const live = this.machines.filter((machine) => machine.record.state !== "destroyed");
    if (live.length >= localLimits.machinesMax) {
      throw new ApiError(422, "machine limit reached", "insufficient_capacity");
    }
    this.#checkName(asked.app, asked.name);
    const address = await this.#host.newAddress(new Set(live.map((each) => each.record.address)));
    // Nothing is awaited from here on: two requests never get the same name or volume.
    this.#checkName(asked.app, asked.name);
    const id = newMachineId();
    const region = placeFor(asked, this.volumes.of(asked.app), (code) => this.roomIn(code));
    const config = this.volumes.attach(asked.app, { region, config: asked.config }, id);
    const { nowMs } = this;
    const record: MachineRecord = {
      id,
      app: asked.app,
      name: asked.name ?? newMachineName(),
      region,
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
    const machine = this.#add(record);
    this.#store.state.machines.push(record);
    this.#host.changed(record);
    return machine;
  }

  async destroyMachine(machine: Machine, force: boolean): Promise<void> {
    await machine.destroy(force);
    this.#dropOldTombstones();
    this.#store.save();
  }

  /**
   * To another host, as Fly does it for its own reasons: the volumes get new ids, the machine a new
   * address, and who reads its events sees it made a second time.
   */
  async migrateMachine(machine: Machine): Promise<void> {
    const { record } = machine;
    const address = await this.#host.newAddress(new Set([record.address]));
    await machine.moveHost(() => {
      const forks = this.volumes
        .of(record.app)
        .filter(({ machineId }) => machineId === record.id)
        .map((volume) => [volume.id, this.volumes.fork(volume).id] as const);
      record.address = address;
      record.config = remounted(record.config, new Map(forks));
    });
  }

  #add(record: MachineRecord): Machine {
    const machine = new Machine(record, this.#host, async () => {
      this.volumes.detach(record.id);
      await removeTree(this.#store.machineDir(record.id)).catch((error: unknown) => {
        this.#host.log("warn", "disk-not-removed", { machine: record.id, error: String(error) });
      });
    });
    this.#machines.set(record.id, machine);
    return machine;
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
