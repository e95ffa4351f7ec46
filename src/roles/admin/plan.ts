import { Failure } from "../../cli/failure.ts";
import type { Template, TemplateMachine } from "./template.ts";
import { withVaultEnvironment } from "./vault-environment.ts";

/** Keys that fly-vault-admin puts into the metadata of what it makes. */
export const metadataKeys = {
  tenant: "fly_vault.tenant_id",
  managedBy: "fly_vault.managed_by",
  template: "fly_vault.template",
  launch: "fly_vault.launch_id",
} as const;

export const managedBy = "fly-vault-admin";

/** Fly's API default, kept from the first fly-vault-admin. */
const volumeGbDefault = 30;

export interface PlannedVolume {
  /** Place in `config.mounts`. */
  readonly mount: number;
  readonly name: string;
  readonly region: string;
  readonly sizeGb: number;
}

/** One machine to be, with the volumes that must exist before it. */
export interface PlannedMachine {
  readonly index: number;
  /** What its owner calls it. */
  readonly vaultName: string;
  readonly machine: TemplateMachine;
  readonly volumes: readonly PlannedVolume[];
  readonly launchId: string;
}

export interface PlanOptions {
  readonly tenant: string;
  readonly accessToken: string;
  readonly variables: ReadonlyMap<string, string>;
  /** Tells machines of this run from all others. */
  readonly runId: string;
}

/** All machines of a tenant as the template wants them. Nothing is sent; what is wrong is said now. */
export function planTenant(
  template: Template,
  options: PlanOptions,
): { readonly machines: readonly PlannedMachine[]; readonly usesToken: boolean } {
  const used = new Set<string>();
  const machines = Array.from({ length: template.document.machine_count }, (_, at) =>
    planMachine(template, at + 1, options, used),
  );
  for (const name of options.variables.keys()) {
    if (!used.has(name)) {
      throw new Failure("FV-ADM-001", `--var ${name} is not used by ${template.path}`, {
        fix: `remove it, or write {{${name}}} where its value belongs`,
      });
    }
  }
  return { machines, usesToken: used.has("access_token") };
}

function planMachine(
  template: Template,
  index: number,
  options: PlanOptions,
  used: Set<string>,
): PlannedMachine {
  const values = new Map([
    ...options.variables,
    ["tenant_id", options.tenant],
    ["index", String(index)],
    ["access_token", options.accessToken],
  ]);
  const { machine, metadata } = template.filledWith(values, used);
  checkMachineName(template, machine.name);
  const launchId = `${options.runId}-${index}`;
  const isOnly = template.document.machine_count === 1;
  const vaultName = isOnly ? options.tenant : `${options.tenant}-${index}`;
  const config = {
    ...withVaultEnvironment(machine.config, vaultName),
    metadata: {
      ...stringsOf(template, machine.config["metadata"]),
      ...metadata,
      [metadataKeys.tenant]: options.tenant,
      [metadataKeys.managedBy]: managedBy,
      [metadataKeys.template]: template.name,
      [metadataKeys.launch]: launchId,
    },
  };
  return {
    index,
    vaultName,
    machine: { ...machine, config },
    volumes: planVolumes(template, machine),
    launchId,
  };
}

/** A mount that names a volume, and has no id of one, wants that volume made. */
function planVolumes(template: Template, machine: TemplateMachine): PlannedVolume[] {
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
    planned.push({ mount: at, name, region: machine.region, sizeGb: size ?? volumeGbDefault });
  }
  return planned;
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

function stringsOf(template: Template, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : undefined;
  const keys = ["machine", "config", "metadata"];
  if (entries === undefined) throw template.failure(keys, "must be a table of texts");
  return Object.fromEntries(
    entries.map(([key, entry]: [string, unknown]) => {
      if (typeof entry !== "string") throw template.failure([...keys, key], "must be a text");
      return [key, entry];
    }),
  );
}

function checkMachineName(template: Template, name: string | undefined): void {
  if (name === undefined || /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$/u.test(name)) return;
  throw template.failure(
    ["machine", "name"],
    `"${name}" is no machine name: letters, digits, - and _, at most 63`,
  );
}
