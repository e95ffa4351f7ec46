import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import { type FlyMachine, type FlyVolume, isVolumeGone } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { checkTenantId, managedMachines, managedMachinesForSure } from "./tenant-id.ts";
import { deleteVolumeWhenFree } from "./volume-removal.ts";

/** Longer than the longest grace a machine can have. */
const stopTimeoutMs = 330_000;

export const tenantDelete = defineCommand({
  name: "tenant delete",
  summary: "Remove a tenant: its machines, and its volumes with all data",
  description: "Prints the plan first. Without --yes nothing more happens.",
  flags: {
    yes: { short: "y", summary: "do it" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: ["fly-vault-admin tenant delete acme --yes"],
  exitStatus: "0 all gone; 2 without --yes; 3 no such tenant; 8 something is left",
  run: async ({ flags, positionals }, context) => {
    const tenant = checkTenantId(positionals.tenant);
    return runOnApi(context, async () => {
      const { api } = await openConnection(flags, context);
      const machines = await managedMachinesForSure(api, tenant);
      if (machines.length === 0) {
        throw new Failure("FV-ADM-002", `no tenant "${tenant}" in app "${api.app}"`, {
          fix: "fly-vault-admin tenant list",
        });
      }
      const volumes = await volumesOf(api, machines);
      await context.stdout.write(renderPlan(tenant, machines, volumes));
      if (!flags.yes) {
        throw new Failure("FV-ADM-005", `refusing to delete tenant "${tenant}" without --yes`, {
          because: "all data on the volumes above would be lost",
        });
      }
      await deleteAll(api, { tenant, machines, volumes }, context);
      await context.stdout.write(`tenant ${tenant} is deleted\n`);
      return 0;
    });
  },
});

interface Doomed {
  readonly tenant: string;
  readonly machines: readonly FlyMachine[];
  readonly volumes: readonly FlyVolume[];
}

/** Goes as far as it can; what could not be done is said at the end, and done by running it again. */
async function deleteAll(api: MachinesApi, doomed: Doomed, context: Context): Promise<void> {
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      await context.stderr.write(`removed ${what}\n`);
      return true;
    } catch (error) {
      if (!(error instanceof MachinesApiError)) throw error;
      problems.push(`${what}: ${apiErrorLine(error)}`);
      return false;
    }
  };
  const kept = new Set<string>();
  for (const machine of doomed.machines) {
    const gone = await attempt(`machine ${machine.id}`, async () => removeMachine(api, machine));
    if (!gone) kept.add(machine.id);
  }
  for (const volume of doomed.volumes) {
    // Its machine holds on to it.
    if (kept.has(volume.attached_machine_id ?? "")) continue;
    await attempt(`volume ${volume.id}`, async () => {
      await deleteVolumeWhenFree(api, volume.id);
    });
  }
  const left = [
    ...(await managedMachines(api, doomed.tenant)).map((each) => `machine ${each.id}`),
    ...(await remainingVolumes(api, doomed.volumes)).map((each) => `volume ${each.id}`),
  ];
  if (left.length === 0) return;
  throw new Failure("FV-ADM-004", `tenant "${doomed.tenant}" is only partly deleted`, {
    because: `left: ${left.join(", ")}${problems.length === 0 ? "" : `; ${problems.join("; ")}`}`,
    fix: "run the same command again; volumes without a machine: fly volume destroy ID",
  });
}

/** Cordoned first, so that nothing new arrives; stopped in order, so that nothing is lost. */
async function removeMachine(api: MachinesApi, machine: FlyMachine): Promise<void> {
  await api.cordonMachine(machine.id);
  if (!["stopped", "created", "failed", "suspended"].includes(machine.state)) {
    await api.stopMachine(machine.id);
    const version = machine.version ?? machine.instance_id ?? undefined;
    await api.waitForState(machine.id, { state: "stopped", version }, stopTimeoutMs);
  }
  await api.deleteMachine(machine.id);
}

/** Those the machines mount, and those that say they are attached to one of them. */
async function volumesOf(api: MachinesApi, machines: readonly FlyMachine[]): Promise<FlyVolume[]> {
  const ids = new Set(machines.map((machine) => machine.id));
  const mounted = new Set(
    machines
      .flatMap((machine) => (machine.config ?? machine.incomplete_config)?.mounts ?? [])
      .map((mount) => mount.volume),
  );
  const volumes = await api.listVolumes();
  return volumes.filter(
    (volume) =>
      !isVolumeGone(volume) &&
      (mounted.has(volume.id) || ids.has(volume.attached_machine_id ?? "")),
  );
}

async function remainingVolumes(
  api: MachinesApi,
  volumes: readonly FlyVolume[],
): Promise<FlyVolume[]> {
  if (volumes.length === 0) return [];
  const ids = new Set(volumes.map((volume) => volume.id));
  const now = await api.listVolumes();
  return now.filter((volume) => ids.has(volume.id) && !isVolumeGone(volume));
}

function renderPlan(
  tenant: string,
  machines: readonly FlyMachine[],
  volumes: readonly FlyVolume[],
): string {
  const lines = [
    `tenant ${tenant}: ${machines.length} machine(s), ${volumes.length} volume(s) to delete`,
    ...machines.map(
      ({ id, name, state, region }) =>
        `  machine ${id}  ${name ?? "-"}  ${state}  ${region ?? "-"}`,
    ),
    ...volumes.map(
      ({ id, name, size_gb: size, region }) =>
        `  volume  ${id}  ${name ?? "-"}  ${size ?? "?"} GB  ${region ?? "-"}`,
    ),
  ];
  return `${lines.join("\n")}\n`;
}
