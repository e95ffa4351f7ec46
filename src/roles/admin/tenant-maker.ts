import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine, FlyVolume } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { createOnce, type Creation, lookFor, machineCreation, volumeCreation } from "./creation.ts";
import { putKeys, startWhenReady } from "./machine-rekey.ts";
import type { PlannedMachine } from "./plan.ts";
import { deleteVolumeWhenFree } from "./volume-removal.ts";

export interface MadeMachine {
  readonly planned: PlannedMachine;
  readonly machine: FlyMachine;
}

/** Makes what a plan says, and remembers every piece of it, so that it can be taken away again. */
export class TenantMaker {
  readonly #api: MachinesApi;
  readonly #note: (line: string) => Promise<void>;
  readonly #keysOf: ((machineId: string) => string) | undefined;
  readonly #machines: MadeMachine[] = [];
  readonly #volumes: FlyVolume[] = [];
  /** Being made just now: they may come to be although the call broke off. */
  #openMachine: Creation<FlyMachine> | undefined;
  #openVolume: Creation<FlyVolume> | undefined;

  constructor(options: {
    readonly api: MachinesApi;
    readonly note: (line: string) => Promise<void>;
    /** The admission keys of a machine, which can be made only once its id is known. */
    readonly keysOf?: ((machineId: string) => string) | undefined;
  }) {
    this.#api = options.api;
    this.#note = options.note;
    this.#keysOf = options.keysOf;
  }

  get machines(): readonly MadeMachine[] {
    return this.#machines;
  }

  async make(planned: PlannedMachine): Promise<void> {
    const mounted = await this.#makeVolumes(planned);
    // It must not run, and answer everybody, before it has its key.
    const early = this.#keysOf === undefined ? {} : { skip_launch: true };
    const wish = { ...planned.machine, ...mounted, ...early };
    const creation = machineCreation(wish, planned.launchId);
    this.#openMachine = creation;
    const machine = await this.#settled(creation, () => {
      this.#openMachine = undefined;
    });
    const place = this.#machines.push({ planned, machine }) - 1;
    const where = [machine.region, machine.private_ip].filter((each) => (each ?? "") !== "");
    await this.#note(
      `made machine ${machine.id} (${machine.name ?? "no name"}) in ${where.join(" at ")}`,
    );
    if (this.#keysOf === undefined) return;
    const keyed = await this.#finish({ planned, machine }, this.#keysOf(machine.id));
    this.#machines[place] = { planned, machine: keyed };
  }

  /** From made to started, with its keys. */
  async #finish({ planned, machine }: MadeMachine, keys: string): Promise<FlyMachine> {
    const { id, nonce } = machine;
    const lease = typeof nonce === "string" ? { leaseNonce: nonce } : {};
    const keyed = await putKeys(this.#api, machine, keys, { ...lease, skipLaunch: true });
    await this.#note(`gave machine ${id} its admission key`);
    if (planned.machine.skip_launch !== true) await startWhenReady(this.#api, id, lease);
    return { ...keyed, nonce };
  }

  /** Waits until all run; a machine that was not to be launched is not waited for. */
  async waitForStart(timeoutMs: number): Promise<void> {
    const launched = this.#machines.filter(({ planned }) => planned.machine.skip_launch !== true);
    await Promise.all(
      launched.map(async ({ machine }) =>
        this.#api.waitForState(
          machine.id,
          {
            state: "started",
            failures: ["stopped", "failed", "destroyed"],
            version: machine.version ?? machine.instance_id ?? undefined,
          },
          timeoutMs,
        ),
      ),
    );
  }

  /** A lease that the template asked for would keep everybody off the machine until it runs out. */
  async releaseLeases(): Promise<void> {
    for (const { machine } of this.#machines) {
      if (typeof machine.nonce === "string")
        await this.#api.releaseLease(machine.id, machine.nonce);
    }
  }

  /** Takes away what this run made. Returns what could not be taken away, one line each. */
  async undo(): Promise<string[]> {
    const api = this.#api.uninterrupted();
    const left: string[] = [];
    const machines = this.#machines.map((made) => made.machine);
    machines.push(...(await this.#found(this.#openMachine, api, left)));
    this.#volumes.push(...(await this.#found(this.#openVolume, api, left)));
    for (const { id, nonce } of machines) {
      await this.#remove(`machine ${id}`, left, async () =>
        api.deleteMachine(id, typeof nonce === "string" ? { leaseNonce: nonce } : {}),
      );
    }
    for (const { id, name } of this.#volumes) {
      await this.#remove(`volume ${id} (${name ?? "no name"})`, left, async () =>
        deleteVolumeWhenFree(api, id),
      );
    }
    return left;
  }

  async #makeVolumes(planned: PlannedMachine): Promise<Partial<PlannedMachine["machine"]>> {
    const { config, region: wishedRegion } = planned.machine;
    const mounts = config["mounts"];
    if (planned.volumes.length === 0 || !Array.isArray(mounts)) return {};
    const named: unknown[] = [...mounts];
    let region = wishedRegion;
    for (const { mount, name, region: volumeRegion, sizeGb } of planned.volumes) {
      const wish = { name, region: volumeRegion, size_gb: sizeGb, compute: config["guest"] };
      const creation = await volumeCreation(this.#api, wish);
      this.#openVolume = creation;
      const volume = await this.#settled(creation, () => {
        this.#openVolume = undefined;
      });
      this.#volumes.push(volume);
      await this.#note(`made volume ${volume.id} (${name}, ${sizeGb} GB)`);
      named[mount] = Object.assign({}, named[mount], { volume: volume.id });
      region = volume.region ?? region;
    }
    const filled = { ...config, mounts: named };
    return region === undefined ? { config: filled } : { config: filled, region };
  }

  /** Closes the creation when it is known what came of it; else it stays open for `undo`. */
  async #settled<T>(creation: Creation<T>, close: () => void): Promise<T> {
    try {
      const made = await createOnce(creation, this.#api);
      close();
      return made;
    } catch (error) {
      if (error instanceof MachinesApiError && !error.isOutcomeUnknown) close();
      throw error;
    }
  }

  async #found<T>(
    creation: Creation<T> | undefined,
    api: MachinesApi,
    left: string[],
  ): Promise<T[]> {
    if (creation === undefined) return [];
    try {
      const found = await lookFor(creation, api, [500, 2_000, 5_000]);
      return found === undefined ? [] : [found];
    } catch (error) {
      left.push(`perhaps a ${creation.words}: ${apiErrorLine(error)}`);
      return [];
    }
  }

  async #remove(what: string, left: string[], work: () => Promise<void>): Promise<void> {
    try {
      await work();
      await this.#note(`removed ${what}`);
    } catch (error) {
      left.push(`${what}: ${apiErrorLine(error)}`);
    }
  }
}
