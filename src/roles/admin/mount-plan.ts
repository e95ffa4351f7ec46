import type { Template, TemplateMachine } from "./template.ts";

export interface PlannedVolume {
  /** Place in `config.mounts`. */
  readonly mount: number;
  readonly name: string;
  readonly region: string;
  readonly sizeGb: number;
  /** No other tenant has volumes of that name, for its own stands in it. */
  readonly isTenantsName: boolean;
}

/** Fly's API default, kept from the first fly-vault-admin. */
const volumeGbDefault = 30;

/** A mount that names a volume, and has no id of one, wants that volume made. */
export function planVolumes(template: Template, machine: TemplateMachine): PlannedVolume[] {
  const mounts = machine.config["mounts"];
  if (mounts === undefined) return [];
  if (!Array.isArray(mounts)) throw template.failure(mountKeys(), "must be a list of tables");
  if (mounts.length > 1) throw template.failure(mountKeys(), "Fly gives a machine one volume only");
  const planned: PlannedVolume[] = [];
  for (const [at, mount] of mounts.entries()) {
    const { volume, name, size, path } = mountMembers(template, mount, at);
    if (path === undefined) throw template.failure(mountKeys(at), "path is missing");
    if (volume !== undefined) continue;
    if (name === undefined) {
      throw template.failure(mountKeys(at), "needs name, or volume with the id of an existing one");
    }
    if (!/^[a-z0-9_]{1,30}$/u.test(name)) {
      throw template.failure(
        mountKeys(at, "name"),
        `"${name}" is no volume name: a-z, 0-9 and _ only, at most 30`,
      );
    }
    if (machine.region === undefined || !/^[a-z]{3}$/u.test(machine.region)) {
      throw template.failure(
        ["machine", "region"],
        "one region is needed to make the volume of a mount",
      );
    }
    planned.push({
      mount: at,
      name,
      region: machine.region,
      sizeGb: size ?? volumeGbDefault,
      isTenantsName: hasTenantsName(template.document.machine.config["mounts"], at),
    });
  }
  return planned;
}

/** `mounts` as they are in the file. */
function hasTenantsName(mounts: unknown, at: number): boolean {
  const mount: unknown = Array.isArray(mounts) ? mounts[at] : undefined;
  const hasName = typeof mount === "object" && mount !== null && "name" in mount;
  return hasName && /\{\{\s*tenant_id\s*\}\}/u.test(String(mount.name));
}

function mountMembers(
  template: Template,
  mount: unknown,
  at: number,
): {
  volume: string | undefined;
  name: string | undefined;
  path: string | undefined;
  size: number | undefined;
} {
  const members = new Map(typeof mount === "object" && mount !== null ? Object.entries(mount) : []);
  const text = (key: string): string | undefined => {
    const value: unknown = members.get(key);
    if (value === undefined || typeof value === "string") return value;
    throw template.failure(mountKeys(at, key), "must be a text");
  };
  const size: unknown = members.get("size_gb");
  if (size !== undefined && !(typeof size === "number" && Number.isInteger(size) && size >= 1)) {
    throw template.failure(mountKeys(at, "size_gb"), "must be a whole number of GB, from 1");
  }
  return { volume: text("volume"), name: text("name"), path: text("path"), size };
}

function mountKeys(at?: number, key?: string): string[] {
  const keys = ["machine", "config", "mounts"];
  if (at !== undefined) keys.push(String(at));
  if (key !== undefined) keys.push(key);
  return keys;
}
