import type { FlyMachine } from "../../fly/machine-shape.ts";
import { timeMs, usageTimes } from "./usage-times.ts";

export interface UsageVolume {
  readonly volume_id: string;
  readonly name?: string;
  readonly mount_path?: string;
  readonly size_gib: number;
}

/** What a biller wants to know of a machine, in the field names of the first fly-vault-admin. Times are RFC 3339. */
export interface UsageFact {
  readonly machine_id: string;
  readonly state: string;
  readonly region?: string;
  readonly instance_id?: string;
  readonly started_at?: string;
  readonly stopped_at?: string;
  readonly deleted_at?: string;
  readonly created_at?: string;
  readonly updated_at?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly volumes?: readonly UsageVolume[];
}

/** What is not known, or empty, is left out. */
export function usageFact(
  machine: FlyMachine,
  volumeSizes: ReadonlyMap<string, number>,
): UsageFact {
  const config = machine.config ?? machine.incomplete_config;
  const { startedMs, stoppedMs, deletedMs } = usageTimes(machine);
  const metadata = config?.metadata ?? {};
  const volumes = usageVolumes(machine, volumeSizes);
  return {
    machine_id: machine.id,
    state: machine.state,
    ...given("region", machine.region),
    ...given("instance_id", machine.instance_id ?? machine.version),
    ...given("started_at", timeText(startedMs)),
    ...given("stopped_at", timeText(stoppedMs)),
    ...given("deleted_at", timeText(deletedMs)),
    ...given("created_at", timeText(timeMs(machine.created_at))),
    ...given("updated_at", timeText(timeMs(machine.updated_at))),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
    ...(volumes.length === 0 ? {} : { volumes }),
  };
}

/** The size is the volume's own, else that of the mount, else Fly's default of old. */
export function usageVolumes(
  machine: FlyMachine,
  volumeSizes: ReadonlyMap<string, number>,
): UsageVolume[] {
  const mounts = (machine.config ?? machine.incomplete_config)?.mounts ?? [];
  return mounts.flatMap((mount) => usageVolume(mount, volumeSizes) ?? []);
}

function usageVolume(
  mount: Mount,
  volumeSizes: ReadonlyMap<string, number>,
): UsageVolume | undefined {
  const { volume } = mount;
  if (volume === undefined || volume === null || volume === "") return undefined;
  return {
    volume_id: volume,
    ...given("name", mount.name),
    ...given("mount_path", mount.path),
    size_gib: sizeOf(volumeSizes.get(volume)) ?? sizeOf(mount.size_gb) ?? volumeGibDefault,
  };
}

type Mount = NonNullable<NonNullable<FlyMachine["config"]>["mounts"]>[number];

export function timeText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

function sizeOf(gib: number | null | undefined): number | undefined {
  return gib !== undefined && gib !== null && gib > 0 ? gib : undefined;
}

function given<K extends string>(
  key: K,
  value: string | null | undefined,
): Partial<Record<K, string>> {
  const fields: Partial<Record<K, string>> = {};
  if (value !== undefined && value !== null && value !== "") fields[key] = value;
  return fields;
}

const volumeGibDefault = 30;
