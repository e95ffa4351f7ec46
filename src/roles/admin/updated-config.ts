import * as v from "valibot";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { metadataKeys, type PlannedMachine } from "./plan.ts";

/**
 * The whole configuration that makes a machine what its template wants. What only the machine has, and
 * nobody could make anew, stays: its keys, its token, its volume, its name, and what others noted on it.
 */
export function updatedConfig(
  { machine: { config }, vaultName, index }: PlannedMachine,
  machine: FlyMachine,
): Record<string, unknown> {
  const actual = configOf(machine);
  const env = stringsOf(config["env"]);
  const metadata = stringsOf(config["metadata"]);
  const tenant = metadata[metadataKeys.tenant] ?? "";
  const kept = Object.fromEntries(
    Object.entries(actual.env ?? {}).filter(([name]) => irreplaceable.has(name)),
  );
  // A tenant that gets more machines does not rename those it has.
  const hostname = actual.env?.["VAULT_HOSTNAME"] ?? "";
  if (env["VAULT_HOSTNAME"] === vaultName && [tenant, `${tenant}-${index}`].includes(hostname)) {
    env["VAULT_HOSTNAME"] = hostname;
  }
  const launchId = actual.metadata?.[metadataKeys.launch] ?? metadata[metadataKeys.launch] ?? "";
  const mounts = mountsOf(config["mounts"], actual.mounts ?? []);
  return {
    ...config,
    env: { ...kept, ...env },
    metadata: { ...actual.metadata, ...metadata, [metadataKeys.launch]: launchId },
    ...(mounts.length === 0 ? {} : { mounts }),
  };
}

/** What Fly does not tell must not be taken for empty: an update would remove it. */
export function configOf(machine: FlyMachine): NonNullable<FlyMachine["config"]> {
  if (machine.config !== null && machine.config !== undefined) return machine.config;
  throw new MachinesApiError("unavailable", `the host of machine ${machine.id} does not answer`, {
    action: "read machine",
  });
}

/** The template's, on the volumes that the machine has. */
function mountsOf(
  mounts: unknown,
  actual: readonly { readonly volume?: string | null | undefined }[],
): unknown[] {
  const list: readonly unknown[] = Array.isArray(mounts) ? mounts : [];
  return list.map((mount, at) => {
    const volume = actual[at]?.volume ?? "";
    return volume === "" || typeof mount !== "object"
      ? mount
      : Object.assign({}, mount, { volume });
  });
}

function stringsOf(value: unknown): Record<string, string> {
  return v.is(v.record(v.string(), v.string()), value) ? { ...value } : {};
}

const irreplaceable: ReadonlySet<string> = new Set([admissionKeyVariable, "ACCESS_TOKEN"]);
