import { existsSync, renameSync } from "node:fs";
import { ApiError } from "./api-error.ts";
import { newVolumeId } from "./identifier.ts";
import { localLimits } from "./limits.ts";
import { attachVolumes, type Wanted } from "./mount-volumes.ts";
import type { VolumeRecord } from "./record.ts";
import { removeTree } from "./remove-tree.ts";
import type { Reader, Replicas } from "./replicas.ts";
import type { StateStore } from "./state-store.ts";

type Wish = Pick<
  VolumeRecord,
  "app" | "name" | "region" | "sizeGb" | "encrypted" | "snapshotRetention" | "autoBackup"
>;

/** All volumes: whose they are, and the folders that hold their bytes. */
export class Volumes {
  readonly #store: StateStore;
  readonly #replicas: Replicas<VolumeRecord>;
  readonly #nowMs: () => number;

  constructor(store: StateStore, replicas: Replicas<VolumeRecord>, nowMs: () => number) {
    this.#store = store;
    this.#replicas = replicas;
    this.#nowMs = nowMs;
  }

  of(app: string): VolumeRecord[] {
    return this.#store.state.volumes.filter((volume) => volume.app === app);
  }

  find(app: string, id: string): VolumeRecord {
    const volume = this.of(app).find((candidate) => candidate.id === id);
    if (volume === undefined) throw new ApiError(404, `volume ${id} not found`);
    return volume;
  }

  seen(app: string, reader: Reader): VolumeRecord[] {
    return this.of(app)
      .map((volume) => this.#replicas.seen(volume, reader))
      .filter((volume) => volume !== undefined);
  }

  seenOne(volume: VolumeRecord, reader: Reader): VolumeRecord {
    const seen = this.#replicas.seen(volume, reader);
    if (seen === undefined) throw new ApiError(404, `volume ${volume.id} not found`);
    return seen;
  }

  create(asked: Wish): VolumeRecord {
    const { volumes } = this.#store.state;
    if (volumes.length >= localLimits.volumesMax) {
      throw new ApiError(422, "volume limit reached", "insufficient_capacity");
    }
    const made = { id: newVolumeId(), state: "created", createdAtMs: this.#nowMs() } as const;
    const volume: VolumeRecord = { ...asked, ...made };
    volumes.push(volume);
    this.#changed(volume);
    return volume;
  }

  change(
    volume: VolumeRecord,
    change: Partial<Pick<VolumeRecord, "sizeGb" | "snapshotRetention" | "autoBackup">>,
  ): void {
    Object.assign(volume, change);
    this.#changed(volume);
  }

  /** The bytes go at once, the entry lingers in lists for a day, as on Fly. */
  async destroy(volume: VolumeRecord): Promise<void> {
    if (volume.machineId !== undefined) {
      throw new ApiError(
        412,
        `failed_precondition: volume ${volume.id} is attached to machine ${volume.machineId}`,
      );
    }
    volume.state = "pending_destroy";
    volume.destroyedAtMs ??= this.#nowMs();
    this.#changed(volume);
    await removeTree(this.#store.volumeDir(volume.id));
  }

  /** The configuration with the volumes that its mounts name, which are now this machine's. */
  attach(app: string, wanted: Wanted, machineId: string): Wanted["config"] {
    const { config, attached } = attachVolumes(wanted, this.of(app), machineId);
    for (const volume of attached) this.#changed(volume);
    return config;
  }

  detach(machineId: string): void {
    for (const volume of this.#store.state.volumes) {
      if (volume.machineId !== machineId) continue;
      delete volume.machineId;
      this.#changed(volume);
    }
  }

  /** What Fly does when a machine changes its host: the same bytes under a new id. Returns that. */
  fork(volume: VolumeRecord): VolumeRecord {
    const { machineId, ...rest } = volume;
    const copy = this.create(rest);
    if (machineId !== undefined) copy.machineId = machineId;
    delete volume.machineId;
    volume.state = "pending_destroy";
    volume.destroyedAtMs = this.#nowMs();
    const from = this.#store.volumeDir(volume.id);
    if (existsSync(from)) renameSync(from, this.#store.volumeDir(copy.id));
    for (const each of [volume, copy]) this.#changed(each);
    return copy;
  }

  #changed(volume: VolumeRecord): void {
    volume.updatedAtMs = this.#nowMs();
    this.#replicas.note(volume);
    this.#store.save();
  }
}
