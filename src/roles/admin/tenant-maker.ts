import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, type FlyVolume, isMachineGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { isUnfinished } from "./begun-tenant.ts";
import { createOnce, type Creation, lookFor, machineCreation, volumeCreation } from "./creation.ts";
import type { CreationJournal } from "./creation-journal.ts";
import { putKeys, startWhenReady } from "./machine-rekey.ts";
import { type Settling, waitUntilRunning } from "./machine-settling.ts";
import { metadataKeys, type PlannedMachine } from "./plan.ts";
import { volumeIds } from "./tenant-summary.ts";
import { volumeCall, type VolumeClaims } from "./volume-claims.ts";
import { deleteVolumeWhenFree } from "./volume-removal.ts";

export interface MadeMachine {
  readonly planned: PlannedMachine;
  readonly machine: FlyMachine;
}

interface MakerOptions {
  readonly api: MachinesApi;
  readonly note: (line: string) => Promise<void>;
  readonly journal: CreationJournal;
  readonly claims: VolumeClaims;
  /** The admission keys of a machine, which can be made only once its id is known. */
  readonly keysOf: ((machineId: string) => string) | undefined;
}

/** Makes what a plan says, and remembers every piece of it, so that it can be taken away again. */
export class TenantMaker {
  readonly #api: MachinesApi;
  readonly #options: MakerOptions;
  /** In the plan's order; those of an earlier run, too. */
  readonly #machines: MadeMachine[] = [];
  readonly #madeMachines: FlyMachine[] = [];
  readonly #madeVolumes: FlyVolume[] = [];
  readonly #foundVolumes: FlyVolume[] = [];
  /** Being made just now: they may come to be although the call broke off. */
  #openMachine: Creation<FlyMachine> | undefined;
  #openVolume: Creation<FlyVolume> | undefined;

  constructor(options: MakerOptions) {
    this.#api = options.api;
    this.#options = options;
  }

  get machines(): readonly MadeMachine[] {
    return this.#machines;
  }

  async make(planned: PlannedMachine): Promise<void> {
    const { journal, keysOf } = this.#options;
    const what = `machine ${planned.index}`;
    const mounted = await this.#makeVolumes(planned);
    // It must not run, and answer everybody, before it has its key.
    const early = keysOf === undefined ? {} : { skip_launch: true };
    const wish = { ...planned.machine, ...mounted, ...early };
    const creation = machineCreation(markedUnfinished(wish), planned.launchId);
    await journal.ask(what);
    this.#openMachine = creation;
    const machine = await this.#settled(creation, () => {
      this.#openMachine = undefined;
    });
    this.#madeMachines.push(machine);
    await journal.answered();
    const where = [machine.region, machine.private_ip].filter((each) => (each ?? "") !== "");
    await this.#options.note(
      `made machine ${machine.id} (${machine.name ?? "no name"}) in ${where.join(" at ")}`,
    );
    await this.#finish(planned, machine);
  }

  /** Takes on a machine that an earlier run made, and does what that run did not. */
  async adopt(planned: PlannedMachine, machine: FlyMachine): Promise<void> {
    await this.#options.note(`machine ${machine.id} is there from an earlier run`);
    await this.#finish(planned, machine);
    const isLaunched = planned.machine.skip_launch !== true;
    if (isLaunched && this.#options.keysOf === undefined && resting.has(machine.state))
      await startWhenReady(this.#api, machine.id, {});
  }

  /** Waits until all run, and stay so; a machine that was not to be launched is not waited for. */
  async waitForStart(settling: Settling): Promise<void> {
    const launched = this.#machines.filter(({ planned }) => planned.machine.skip_launch !== true);
    await Promise.all(
      launched.map(async ({ machine }) => waitUntilRunning(this.#api, machine, settling)),
    );
  }

  /** A lease that the template asked for would keep everybody off the machine until it runs out. */
  async releaseLeases(): Promise<void> {
    for (const { machine } of this.#machines) {
      if (typeof machine.nonce === "string")
        await this.#api.releaseLease(machine.id, machine.nonce);
    }
  }

  /** From now on they are a tenant's machines like any other. */
  async markFinished(): Promise<void> {
    for (const { machine } of this.#machines)
      await this.#api.changeMetadata(machine.id, { [metadataKeys.unfinished]: null });
  }

  /** Takes away what this run made. Returns what is left, one line each. */
  async undo(): Promise<string[]> {
    const api = this.#api.uninterrupted();
    const left: string[] = [];
    const machines = [...this.#madeMachines];
    machines.push(...(await this.#found(this.#openMachine, api, left)));
    const volumes = [...this.#madeVolumes];
    volumes.push(...(await this.#found(this.#openVolume, api, left)));
    const own = new Set(machines.map(({ id }) => id));
    const kept = new Set<string>();
    for (const machine of machines) {
      const { id, nonce } = machine;
      const reason = await reasonToKeep(api, machine);
      if (reason !== undefined) {
        left.push(`machine ${id}${reason}`);
        for (const volume of volumeIds(machine)) kept.add(volume);
        own.delete(id);
        continue;
      }
      await this.#remove(`machine ${id}`, left, async () =>
        api.deleteMachine(id, typeof nonce === "string" ? { leaseNonce: nonce } : {}),
      );
    }
    const holders = await holdersOf(volumes, api);
    for (const volume of volumes) {
      if (kept.has(volume.id)) continue;
      const holder = holders.get(volume.id) ?? "";
      if (holder !== "" && !own.has(holder)) {
        left.push(`${volumeWords(volume)}, which machine ${holder} of another run has`);
        continue;
      }
      await this.#remove(volumeWords(volume), left, async () =>
        deleteVolumeWhenFree(api, volume.id),
      );
    }
    const made = new Set(machines.map(({ id }) => id));
    const adopted = this.#machines.filter(({ machine }) => !made.has(machine.id));
    left.push(...adopted.map(({ machine }) => `machine ${machine.id}, of an earlier run`));
    left.push(...this.#foundVolumes.map((each) => `${volumeWords(each)}, of an earlier run`));
    return left;
  }

  /** From made to started, with its keys. */
  async #finish(planned: PlannedMachine, machine: FlyMachine): Promise<void> {
    const { keysOf, note } = this.#options;
    const place = this.#machines.push({ planned, machine }) - 1;
    if (keysOf === undefined) return;
    const { id, nonce } = machine;
    const lease = typeof nonce === "string" ? { leaseNonce: nonce } : {};
    const skipLaunch = { ...lease, skipLaunch: true };
    const keyed = await putKeys(this.#api, machine, keysOf(id), skipLaunch);
    await note(`gave machine ${id} its admission key`);
    this.#machines[place] = { planned, machine: { ...keyed, nonce } };
    if (planned.machine.skip_launch !== true && resting.has(keyed.state))
      await startWhenReady(this.#api, id, lease);
  }

  async #makeVolumes(planned: PlannedMachine): Promise<Partial<PlannedMachine["machine"]>> {
    const { config, region: wishedRegion } = planned.machine;
    const mounts = config["mounts"];
    if (planned.volumes.length === 0 || !Array.isArray(mounts)) return {};
    const named: unknown[] = [...mounts];
    let region = wishedRegion;
    for (const wanted of planned.volumes) {
      const volume = (await this.#claim(wanted)) ?? (await this.#makeVolume(wanted, config));
      named[wanted.mount] = Object.assign({}, named[wanted.mount], { volume: volume.id });
      region = volume.region ?? region;
    }
    const filled = { ...config, mounts: named };
    return region === undefined ? { config: filled } : { config: filled, region };
  }

  /** One that an earlier run made. What it asked for last may show up late. */
  async #claim(wanted: PlannedMachine["volumes"][number]): Promise<FlyVolume | undefined> {
    const { claims, journal, note } = this.#options;
    const pausesMs = journal.asked === volumeCall(wanted) ? latePausesMs : [0];
    for (const pauseMs of pausesMs) {
      await this.#api.pause(pauseMs);
      const volume = claims.claim(wanted, await this.#api.listVolumes());
      if (volume === undefined) continue;
      this.#foundVolumes.push(volume);
      await note(`${volumeWords(volume)} is there from an earlier run`);
      return volume;
    }
    return undefined;
  }

  async #makeVolume(
    wanted: PlannedMachine["volumes"][number],
    config: Readonly<Record<string, unknown>>,
  ): Promise<FlyVolume> {
    const { claims, journal, note } = this.#options;
    const { name, region, sizeGb } = wanted;
    const wish = { name, region, size_gb: sizeGb, compute: config["guest"] };
    const creation = volumeCreation(wish, claims, wanted.isTenantsName);
    await journal.ask(volumeCall(wanted));
    this.#openVolume = creation;
    const volume = await this.#settled(creation, () => {
      this.#openVolume = undefined;
    });
    claims.take(volume);
    this.#madeVolumes.push(volume);
    await journal.answered(volume.id);
    await note(`made volume ${volume.id} (${name}, ${sizeGb} GB)`);
    return volume;
  }

  /** Closes the creation when it is known what came of it; else it stays open for `undo`. */
  async #settled<T>(creation: Creation<T>, close: () => void): Promise<T> {
    try {
      const made = await createOnce(creation, this.#api);
      close();
      return made;
    } catch (error) {
      const isKnown = error instanceof MachinesApiError && !error.isOutcomeUnknown;
      if (isKnown || error instanceof Failure) close();
      throw error;
    }
  }

  async #found<T extends FlyMachine | FlyVolume>(
    creation: Creation<T> | undefined,
    api: MachinesApi,
    left: string[],
  ): Promise<T[]> {
    if (creation === undefined) return [];
    try {
      const found = await lookFor(creation, api, latePausesMs);
      if (found === undefined) return [];
      if (creation.isCertain) return [found];
      left.push(`${volumeWords(found)}, which this run or another one has made`);
      return [];
    } catch (error) {
      left.push(`perhaps a ${creation.words}: ${apiErrorLine(error)}`);
      return [];
    }
  }

  async #remove(what: string, left: string[], work: () => Promise<void>): Promise<void> {
    try {
      await work();
      await this.#options.note(`removed ${what}`);
    } catch (error) {
      left.push(`${what}: ${apiErrorLine(error)}`);
    }
  }
}

/** Another run may have gone on with it, and shown its token to somebody; unseen, it is not removed. */
async function reasonToKeep(api: MachinesApi, made: FlyMachine): Promise<string | undefined> {
  try {
    const machine = await lookAt(api, made);
    const isOurs = machine === undefined || isMachineGone(machine) || isUnfinished(machine);
    return isOurs ? undefined : ", which another run has finished meanwhile";
  } catch (error) {
    if (error instanceof MachinesApiError) return `: ${apiErrorLine(error)}`;
    throw error;
  }
}

/** As it is now; by a list where it cannot be asked itself. Undefined when it is not there any more. */
async function lookAt(
  api: MachinesApi,
  { id, config }: FlyMachine,
): Promise<FlyMachine | undefined> {
  try {
    return await api.readMachine(id);
  } catch (error) {
    if (!(error instanceof MachinesApiError)) throw error;
    const launchId = config?.metadata?.[metadataKeys.launch];
    if (error.kind === "not-found") return undefined;
    if (launchId === undefined) throw error;
    const listed = await api.listMachines({ [metadataKeys.launch]: launchId });
    const seen = listed.find((machine) => machine.id === id);
    if (seen === undefined) throw error;
    return seen;
  }
}

/** The machines that have them; none where that cannot be told. */
async function holdersOf(
  volumes: readonly FlyVolume[],
  api: MachinesApi,
): Promise<Map<string, string>> {
  if (volumes.length === 0) return new Map();
  try {
    const listed = await api.listVolumes();
    return new Map(listed.map(({ id, attached_machine_id: holder }) => [id, holder ?? ""]));
  } catch (error) {
    if (error instanceof MachinesApiError) return new Map();
    throw error;
  }
}

function markedUnfinished(wish: PlannedMachine["machine"]): PlannedMachine["machine"] {
  const metadata = Object(wish.config["metadata"]);
  const marked = { ...metadata, [metadataKeys.unfinished]: "true" };
  return { ...wish, config: { ...wish.config, metadata: marked } };
}

function volumeWords({ id, name }: FlyVolume): string {
  return `volume ${id} (${name ?? "no name"})`;
}

const resting: ReadonlySet<string> = new Set(["created", "stopped", "failed", "suspended"]);
/** How long what was asked for may take to show up in lists. */
const latePausesMs = [500, 2_000, 5_000];
