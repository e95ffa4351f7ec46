import { jsonDocument } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { canAsk } from "../../cli/can-ask.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { hasTyped } from "./confirmation.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { findOrphans, type Orphan } from "./orphan-finding.ts";
import { readFleetView, removable, removeOrphans } from "./orphan-removal.ts";
import { countWords, orphanJson, renderOrphans } from "./orphan-table.ts";

export const orphansCommand = defineCommand({
  name: "orphans",
  summary: "Find machines and volumes that no tenant owns, and what was left cordoned or leased",
  description:
    "Changes nothing, unless --delete is said: then machines that we made for no tenant, and volumes " +
    "that no machine has, are removed with all data, after a confirmation. What is younger than 15 " +
    "minutes may be in the making and stays, and so does what others made.",
  flags: {
    delete: { summary: "remove what can be removed" },
    yes: { short: "y", summary: "with --delete: do not ask" },
    json: { summary: "print them as JSON" },
    ...connectionFlags,
  },
  examples: ["fly-vault-admin orphans", "fly-vault-admin orphans --delete"],
  exitStatus: "0 told, or removed; 2 not confirmed; 8 something could not be removed",
  run: async ({ flags }, context) => {
    if (flags.yes && !flags.delete) throw new UsageError("--yes needs --delete");
    if (flags.json && flags.delete && !flags.yes)
      throw new UsageError("--json with --delete needs --yes, for nobody is asked then");
    return runOnApi(context, async () => {
      const { api } = await openConnection(flags, context);
      const view = await readFleetView(api, context.wallMs);
      const orphans = findOrphans(view);
      await show(orphans, { json: flags.json, app: api.app, nowMs: view.nowMs }, context);
      if (flags.delete) await remove(api, removable(orphans), flags.yes, context);
      return 0;
    });
  },
});

async function show(
  orphans: readonly Orphan[],
  options: { readonly json: boolean; readonly app: string; readonly nowMs: number },
  context: Context,
): Promise<void> {
  const { json, app, nowMs } = options;
  if (json) {
    const data = orphans.map((orphan) => orphanJson(orphan, nowMs));
    await context.stdout.write(jsonDocument("orphans", data));
  } else if (orphans.length === 0) await context.stderr.write(`no orphans in app "${app}"\n`);
  else await context.stdout.write(renderOrphans(orphans, nowMs));
}

async function remove(
  api: MachinesApi,
  doomed: readonly Orphan[],
  isConfirmed: boolean,
  context: Context,
): Promise<void> {
  if (doomed.length === 0) {
    await context.stderr.write("nothing to be removed\n");
    return;
  }
  const consequence = `remove ${countWords(doomed)} with all data`;
  if (!isConfirmed) await confirm(api.app, consequence, context);
  const left = await removeOrphans(api, doomed, {
    nowMs: context.wallMs,
    note: async (line) => context.stderr.write(`${line}\n`),
  });
  if (left.length === 0) return;
  throw new Failure("FV-ADM-004", "some could not be removed", {
    because: left.join("; "),
    fix: "run the same command again",
  });
}

/** Rejects with `Failure` where the app's name is not typed, or nobody can be asked. */
async function confirm(app: string, consequence: string, context: Context): Promise<void> {
  if (!canAsk(context))
    throw new Failure("FV-ADM-005", `refusing to ${consequence} without --yes`, {
      because: "there is no terminal to ask on",
    });
  if (await hasTyped(context, `type "${app}" to ${consequence}`, app)) return;
  throw new Failure("FV-ADM-005", `"${app}" was not typed, so nothing was removed`);
}
