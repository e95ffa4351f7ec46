import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { jsonDocument } from "../../cli/json-document.ts";
import { canAsk } from "../../cli/can-ask.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { apiErrorLine } from "./api-failure.ts";
import { hasTyped } from "./confirmation.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { CreationJournal } from "./creation-journal.ts";
import {
  countWords,
  type Doomed,
  doomedJson,
  findDoomed,
  isNothing,
  renderDoomed,
} from "./deletion-plan.ts";
import { removeMachine } from "./machine-removal.ts";
import { checkTenantId } from "./tenant-id.ts";
import { deleteVolumeWhenFree } from "./volume-removal.ts";

export const tenantDelete = defineCommand({
  name: "tenant delete",
  summary: "Remove a tenant: its machines, and its volumes with all data",
  description:
    "Prints the plan first. On a terminal the tenant's name must then be typed; elsewhere nothing " +
    "more happens without --yes or --confirm. Volumes of machines that are gone already are found, " +
    "too, so a run that was killed is gone on with by the same command.",
  flags: {
    yes: { short: "y", summary: "do it, and do not ask" },
    confirm: { value: "TENANT", summary: "the same as typing the name" },
    "dry-run": { summary: "print the plan and remove nothing" },
    json: { summary: "print the plan as JSON; nobody is asked then" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: [
    "fly-vault-admin tenant delete acme",
    "fly-vault-admin tenant delete acme --dry-run",
    "fly-vault-admin tenant delete acme --confirm acme",
  ],
  exitStatus:
    "0 all gone; 2 nobody confirmed it; 3 no such tenant; 8 something is left, run it again",
  run: async ({ flags, positionals }, context) => {
    const tenant = checkTenantId(positionals.tenant);
    if (flags.confirm !== undefined && flags.confirm !== tenant)
      throw new UsageError(`--confirm says "${flags.confirm}", and the tenant is "${tenant}"`);
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context);
      const doomed = await findDoomed(api, tenant);
      if (isNothing(doomed)) {
        throw new Failure("FV-ADM-002", `no tenant "${tenant}" in app "${api.app}"`, {
          fix: "fly-vault-admin tenant list",
        });
      }
      await context.stdout.write(
        flags.json ? jsonDocument("tenant-delete", doomedJson(doomed)) : renderDoomed(doomed),
      );
      if (flags["dry-run"]) return 0;
      const isConfirmed = flags.yes || flags.confirm !== undefined;
      if (!isConfirmed) await confirm(doomed, !flags.json && canAsk(context), context);
      await forgetCreation(context, { base, app: api.app, tenant });
      await deleteAll(api, doomed, context);
      const told = flags.json ? context.stderr : context.stdout;
      await told.write(`tenant ${tenant} is deleted\n`);
      return 0;
    });
  },
});

/** A note that cannot be removed, or read, is none that anybody would go on with. */
async function forgetCreation(
  context: Context,
  about: Parameters<typeof CreationJournal.open>[1],
): Promise<void> {
  try {
    const journal = await CreationJournal.open(context, about);
    await journal.close();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    await context.stderr.write(`warning: ${error.message}: ${error.because ?? ""}\n`);
  }
}

async function confirm(doomed: Doomed, isAsked: boolean, context: Context): Promise<void> {
  const { tenant } = doomed;
  const question = `type "${tenant}" to delete ${countWords(doomed)}`;
  if (isAsked && (await hasTyped(context, question, tenant))) return;
  if (isAsked) {
    throw new Failure("FV-ADM-005", `tenant "${tenant}" was not deleted`, {
      because: "its name was not typed; nothing was done",
    });
  }
  throw new Failure("FV-ADM-005", `refusing to delete tenant "${tenant}" without --yes`, {
    because: "there is nobody to ask, and all data on the volumes above would be lost",
    fix: `fly-vault-admin tenant delete ${tenant} --confirm ${tenant}`,
  });
}

/** Goes as far as it can; what could not be done is said at the end, and done by running it again. */
async function deleteAll(api: MachinesApi, doomed: Doomed, context: Context): Promise<void> {
  const problems: string[] = [];
  const note = async (line: string): Promise<void> => context.stderr.write(`${line}\n`);
  const attempt = async (what: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      await note(`removed ${what}`);
      return true;
    } catch (error) {
      if (!(error instanceof MachinesApiError)) throw error;
      problems.push(`${what}: ${apiErrorLine(error)}`);
      return false;
    }
  };
  const kept = new Set<string>();
  for (const machine of doomed.machines) {
    const work = async (): Promise<void> => removeMachine(api, machine, note);
    if (!(await attempt(`machine ${machine.id}`, work))) kept.add(machine.id);
  }
  for (const { volume, machine } of doomed.volumes) {
    // Its machine holds on to it.
    if (kept.has(machine.id)) continue;
    await attempt(`volume ${volume.id}`, async () => deleteVolumeWhenFree(api, volume.id));
  }
  const left = await remaining(api, doomed);
  if (left.length === 0) return;
  throw new Failure("FV-ADM-004", `tenant "${doomed.tenant}" is only partly deleted`, {
    because: `left: ${left.join(", ")}${problems.length === 0 ? "" : `; ${problems.join("; ")}`}`,
    fix: "run the same command again; it goes on where this stopped",
  });
}

/**
 * Lists may lag behind what was done, so only what stays in them is left; and behind what was there, so
 * that it may be more than the plan had.
 */
async function remaining(api: MachinesApi, doomed: Doomed): Promise<string[]> {
  let left: string[] = [];
  for (const pauseMs of [0, 1_000, 3_000]) {
    await api.pause(pauseMs);
    const now = await findDoomed(api, doomed.tenant);
    left = [
      ...now.machines.map(({ id }: FlyMachine) => `machine ${id}`),
      ...now.volumes.map(({ volume }) => `volume ${volume.id}`),
    ];
    if (left.length === 0) return [];
  }
  return left;
}
