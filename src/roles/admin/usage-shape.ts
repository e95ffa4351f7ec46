import * as v from "valibot";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { tenantOf } from "./tenant-id.ts";
import { usageVolumes } from "./usage-fact.ts";

/** What a machine costs by, beside the time that it runs. */
export const usageShape = v.object({
  tenant_id: v.string(),
  region: v.nullable(v.string()),
  cpu_kind: v.nullable(v.string()),
  cpus: v.nullable(v.number()),
  memory_mib: v.nullable(v.number()),
  image_digest: v.nullable(v.string()),
  volumes: v.array(v.object({ volume_id: v.string(), size_gib: v.number() })),
});
export type UsageShape = v.InferOutput<typeof usageShape>;

export function shapeOf(machine: FlyMachine, volumeSizes: ReadonlyMap<string, number>): UsageShape {
  const { cpuKind, cpus, memoryMib } = guestOf(machine);
  return {
    tenant_id: tenantOf(machine),
    region: machine.region ?? null,
    cpu_kind: cpuKind,
    cpus,
    memory_mib: memoryMib,
    image_digest: machine.image_ref?.digest ?? null,
    volumes: usageVolumes(machine, volumeSizes).map(({ volume_id, size_gib }) => ({
      volume_id,
      size_gib,
    })),
  };
}

export function guestOf(machine: FlyMachine): {
  readonly cpuKind: string | null;
  readonly cpus: number | null;
  readonly memoryMib: number | null;
} {
  const config = machine.config ?? machine.incomplete_config;
  const guest = v.is(guestShape, config?.["guest"]) ? config["guest"] : {};
  return {
    cpuKind: guest.cpu_kind ?? null,
    cpus: guest.cpus ?? null,
    memoryMib: guest.memory_mb ?? null,
  };
}

/**
 * When the machine got the shape that it has: versions are ULIDs, which begin with their time. Undefined
 * where this one is of another form.
 */
export function versionTimeMs(machine: FlyMachine): number | undefined {
  const version = machine.version ?? machine.instance_id ?? "";
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/u.test(version)) return undefined;
  let ms = 0;
  for (const character of version.slice(0, 10)) ms = ms * 32 + crockford.indexOf(character);
  return ms;
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const guestShape = v.looseObject({
  cpu_kind: v.nullish(v.string()),
  cpus: v.nullish(v.number()),
  memory_mb: v.nullish(v.number()),
});
