import { jsonDocument } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import { Failure } from "../../cli/failure.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import {
  compareTenant,
  comparisonJson,
  isAsWanted,
  renderComparison,
} from "./tenant-comparison.ts";
import { managedMachinesForSure } from "./tenant-id.ts";
import { orderFlags, readOrder } from "./tenant-order.ts";

export const tenantDiff = defineCommand({
  name: "tenant diff",
  summary: "Show where a tenant is not as its template wants it",
  description:
    "One line for each difference, secrets masked: + for what an update adds, - for what it removes, " +
    "~ for what it changes, ! for what no update can change. Nothing is changed.",
  flags: {
    ...orderFlags,
    json: { summary: "print the differences as JSON" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: ["fly-vault-admin tenant diff acme -f tenant.toml"],
  exitStatus:
    "0 no difference; 1 there are some; 2 the template or a flag is wrong; 3 no such tenant",
  seeAlso: ["fly-vault-admin tenant apply"],
  run: async ({ flags, positionals }, context) => {
    const order = await readOrder(positionals.tenant, flags, context);
    return runOnApi(context, async () => {
      const { api } = await openConnection(flags, context, order.template.document.app);
      const machines = await managedMachinesForSure(api, order.tenant);
      if (machines.length === 0) {
        throw new Failure("FV-ADM-002", `no tenant "${order.tenant}" in app "${api.app}"`, {
          fix: `to make it:  fly-vault-admin tenant apply ${order.tenant} -f ${order.template.path}`,
        });
      }
      const comparison = compareTenant(order, machines, await api.listVolumes());
      const data = comparisonJson(comparison);
      const text = flags.json ? jsonDocument("tenant-diff", data) : renderComparison(comparison);
      await context.stdout.write(text);
      if (!isAsWanted(comparison)) return 1;
      await context.stderr.write(`tenant ${order.tenant} is as the template wants it\n`);
      return 0;
    });
  },
});
