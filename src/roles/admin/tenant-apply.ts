import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { generateToken } from "../../fly/token.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { apiErrorLine } from "./api-failure.ts";
import { findBegun, isUnfinished } from "./begun-tenant.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { CreationJournal } from "./creation-journal.ts";
import { differenceLine } from "./difference.ts";
import { renderDryRun } from "./dry-run.ts";
import { applyTemplate } from "./template-change.ts";
import type { Settling } from "./machine-settling.ts";
import { proxyFlags, readProxyAccess } from "./proxy-access.ts";
import { makingFlags, settlingOf } from "./shared-flags.ts";
import { checkOneToken } from "./shared-token.ts";
import {
  compareTenant,
  isAsWanted,
  renderComparison,
  type TenantComparison,
} from "./tenant-comparison.ts";
import { addMachines, createTenant } from "./tenant-creation.ts";
import { checkNoOwnKey, orderFlags, readOrder } from "./tenant-order.ts";

export const tenantApply = defineCommand({
  name: "tenant apply",
  summary: "Make a tenant what its template says: new, changed, or nothing to do",
  description:
    "Machines that differ are leased and updated, one after the other: one that runs starts anew, and " +
    "what runs in it ends; one that does not run stays so. New metadata alone restarts nothing. " +
    "Missing machines are made; none is ever removed. Tokens, admission keys and volumes stay what " +
    "they are. Where the template wants another name, region or volume, nothing is changed at all.",
  flags: {
    ...orderFlags,
    ...proxyFlags,
    "dry-run": { summary: "print what would be done, secrets masked, and do nothing" },
    ...makingFlags,
    json: { summary: "print the entries of new machines as JSON" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: [
    "fly-vault-admin tenant apply acme -f tenant.toml --dry-run",
    "fly-vault-admin tenant apply acme -f tenant.toml",
  ],
  exitStatus:
    "0 it is so now; 1 a machine did not stay started; 2 the template or a flag is wrong; 7 no update can do it; 8 done in part, run it again",
  seeAlso: ["fly-vault-admin tenant diff"],
  run: async ({ flags, positionals }, context) => {
    const settling = settlingOf(flags);
    const proxy = await readProxyAccess(flags, context);
    const order = await readOrder(positionals.tenant, flags, context);
    if (proxy !== undefined) checkNoOwnKey(order);
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context, order.template.document.app);
      const { tenant } = order;
      const journal = await CreationJournal.open(context, { base, app: api.app, tenant });
      const machines = await findBegun(api, tenant, journal);
      const setup = {
        api,
        base,
        context,
        journal,
        proxy,
        settling,
        org: flags.org,
        newVolumes: flags["new-volumes"],
        json: flags.json,
      };
      if (machines.length === 0) {
        const { secrets } = order;
        const keyedLater = proxy !== undefined;
        if (flags["dry-run"])
          await context.stdout.write(renderDryRun(order.draft.machines, { secrets, keyedLater }));
        else await createTenant(order, [], setup);
        return 0;
      }
      const comparison = compareTenant(order, machines, await api.listVolumes());
      const indices = new Set(comparison.missing.map(({ index }) => index));
      if (indices.size > 0 && proxy === undefined) checkNoKeys(machines);
      checkPossible(tenant, comparison);
      // One that is chosen for all makes them alike; others would go where they may not belong.
      const broken =
        order.accessToken === undefined ? checkOneToken(comparison.holders) : undefined;
      const text = renderComparison(comparison);
      if (flags["dry-run"]) await context.stdout.write(text);
      else await context.stderr.write(text);
      if (isAsWanted(comparison))
        await context.stderr.write(`tenant ${tenant} is as the template wants it\n`);
      if (flags["dry-run"] || isAsWanted(comparison)) return 0;
      await changeAll(api, comparison, { tenant, settling, context });
      const accessToken =
        broken?.token ?? comparison.accessToken ?? generateToken(context.randomBytes(32));
      const begun = machines.filter(isUnfinished);
      if (indices.size > 0) await addMachines(order, { indices, accessToken }, begun, setup);
      return 0;
    });
  },
});

/** Half of a template is no template: what no update can do keeps the rest from being done. */
function checkPossible(tenant: string, { machines }: TenantComparison): void {
  const obstacles = machines.flatMap(({ machine, differences, secrets }) =>
    differences
      .filter(({ obstacle }) => obstacle !== undefined)
      .map((each) => `machine ${machine.id}: ${differenceLine(each, secrets)}`),
  );
  if (obstacles.length === 0) return;
  throw new Failure("FV-ADM-011", `tenant "${tenant}" cannot become what the template says`, {
    because: obstacles.join("; "),
    fix: "put the old values back, or make the tenant anew; nothing was changed",
  });
}

/** A machine without a key beside those with one would answer everybody. */
function checkNoKeys(machines: readonly FlyMachine[]): void {
  const keyed = machines.find((each) => each.config?.env?.[admissionKeyVariable] !== undefined);
  if (keyed === undefined) return;
  throw new UsageError(
    `--proxy and --key-file are needed to make more machines: machine ${keyed.id} has admission keys`,
  );
}

/** Up to the first failure, which is told with what is done and what is not. */
async function changeAll(
  api: MachinesApi,
  { machines }: TenantComparison,
  options: { readonly tenant: string; readonly settling: Settling; readonly context: Context },
): Promise<void> {
  const changing = machines.filter(({ differences }) => differences.length > 0);
  for (const [at, { machine, plannedFor }] of changing.entries()) {
    try {
      const words = await applyTemplate(api, machine.id, plannedFor, options.settling);
      await options.context.stderr.write(`machine ${machine.id} ${words}\n`);
    } catch (error) {
      if (at === 0 || !(error instanceof MachinesApiError || error instanceof Failure)) throw error;
      const ids = changing.map((each) => each.machine.id);
      const cause = error instanceof Failure ? error.message : apiErrorLine(error);
      throw new Failure("FV-ADM-004", `tenant "${options.tenant}" is only partly changed`, {
        because: `machine ${machine.id}: ${cause}; done: ${ids.slice(0, at).join(", ")}; not done: ${ids.slice(at).join(", ")}`,
        fix: "run the same command again; it goes on where this stopped",
      });
    }
  }
}
