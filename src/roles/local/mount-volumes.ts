import { ApiError } from "./api-error.ts";
import { type MachineConfig, type Mount, mountsOf } from "./machine-config.ts";
import type { VolumeRecord } from "./record.ts";

export interface Wanted {
  readonly region: string;
  readonly config: MachineConfig;
}

/** Ties the volumes that the mounts name to this machine, and writes their ids into the mounts. */
export function attachVolumes(
  wanted: Wanted,
  volumes: readonly VolumeRecord[],
  machineId: string,
): { readonly config: MachineConfig; readonly attached: readonly VolumeRecord[] } {
  const mounts = mountsOf(wanted.config);
  if (mounts.length === 0) return { config: wanted.config, attached: [] };
  const found = mounts.map((mount) => findVolume(mount, wanted.region, volumes));
  for (const volume of found) volume.machineId = machineId;
  const raw = wanted.config["mounts"];
  const entries: readonly unknown[] = Array.isArray(raw) ? raw : [];
  const named = entries.map((entry, index) =>
    Object.assign({}, entry, { volume: found[index]?.id, name: found[index]?.name }),
  );
  return { config: { ...wanted.config, mounts: named }, attached: found };
}

/** Whether the mount could mean this volume, in use or not. */
export function fits(mount: Mount, region: string, volume: VolumeRecord): boolean {
  const named =
    mount.volume === undefined ? volume.name === mount.name : volume.id === mount.volume;
  return named && volume.state === "created" && volume.region === region;
}

/** The configuration with the volumes' new ids in its mounts. */
export function remounted(config: MachineConfig, ids: ReadonlyMap<string, string>): MachineConfig {
  const raw = config["mounts"];
  if (!Array.isArray(raw)) return config;
  const mounts = mountsOf(config).map(({ volume = "" }, index) =>
    Object.assign({}, raw[index], { volume: ids.get(volume) ?? volume }),
  );
  return { ...config, mounts };
}

/** By id, else any free one of that name. */
function findVolume(mount: Mount, region: string, volumes: readonly VolumeRecord[]): VolumeRecord {
  const volume = volumes.find((candidate) =>
    mount.volume === undefined
      ? candidate.name === mount.name && candidate.machineId === undefined
      : candidate.id === mount.volume,
  );
  if (volume === undefined || volume.state !== "created" || volume.region !== region) {
    throw new ApiError(
      422,
      `no volume ${mount.volume ?? mount.name ?? ""} in region ${region}`,
      "volume_placement_capacity",
    );
  }
  if (volume.machineId !== undefined) {
    throw new ApiError(
      412,
      `failed_precondition: volume ${volume.id} is in use by machine ${volume.machineId}`,
    );
  }
  return volume;
}
