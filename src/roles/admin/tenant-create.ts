import { defineCommand } from "../../cli/command.ts";
import { Failure } from "../../cli/failure.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { findBegun, isUnfinished } from "./begun-tenant.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { CreationJournal } from "./creation-journal.ts";
import { renderDryRun } from "./dry-run.ts";
import { proxyFlags, readProxyAccess } from "./proxy-access.ts";
import { makingFlags, settlingOf } from "./shared-flags.ts";
import { createTenant } from "./tenant-creation.ts";
import { checkNoOwnKey, orderFlags, readOrder, type TenantOrder } from "./tenant-order.ts";

export const tenantCreate = defineCommand({
  name: "tenant create",
  summary: "Make a tenant's machines and volumes from a template",
  description:
    "Prints the entry for the client's configuration on stdout, everything else on stderr. On a " +
    "failure all that was made is removed again, or named where that failed, too. A run that was " +
    "killed is gone on with by the same command. With --proxy the machine answers nobody without its " +
    "admission key, which is in the entry. An invite holds the same in one line, for fly-vault add.",
  flags: {
    ...orderFlags,
    ...proxyFlags,
    "dry-run": { summary: "print what would be sent, secrets masked, and send nothing" },
    ...makingFlags,
    json: { summary: "print the entry as JSON" },
    "invite-file": {
      value: "FILE",
      summary: "write an invite for fly-vault add --from, readable by you alone",
    },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: [
    "fly-vault-admin tenant create acme --template ./tenant.template.toml",
    "fly-vault-admin tenant create acme --template ./tenant.template.toml --access-token-file -",
    "fly-vault-admin tenant create acme --template ./tenant.template.toml --dry-run",
    "fly-vault-admin tenant create acme --template ./tenant.template.toml --proxy vault.example.com:443 --key-file proxy.key",
  ],
  exitStatus:
    "0 made; 1 a machine did not stay started; 2 the template or a flag is wrong; 7 it exists already; 8 something is left",
  run: async ({ flags, positionals }, context) => {
    const settling = settlingOf(flags);
    const proxy = await readProxyAccess(flags, context);
    const order = await readOrder(positionals.tenant, flags, context);
    checkLaunch(order, flags["wait-timeout-secs"]);
    if (proxy !== undefined) checkNoOwnKey(order);
    if (flags["dry-run"]) {
      await context.stdout.write(
        renderDryRun(order.draft.machines, {
          secrets: order.secrets,
          keyedLater: proxy !== undefined,
        }),
      );
      if (proxy !== undefined) await context.stderr.write(`${keyedLater}\n`);
      return 0;
    }
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context, order.template.document.app);
      const { tenant } = order;
      const journal = await CreationJournal.open(context, { base, app: api.app, tenant });
      const begun = await findBegun(api, tenant, journal);
      if (begun.length > 0 && !begun.some(isUnfinished)) {
        await journal.close();
        throw exists(tenant, api.app, begun);
      }
      await createTenant(order, begun, {
        api,
        base,
        context,
        journal,
        proxy,
        settling,
        org: flags.org,
        newVolumes: flags["new-volumes"],
        json: flags.json,
        inviteFile: flags["invite-file"],
      });
      return 0;
    });
  },
});

/** Whoever asks to wait would wait for ever. */
function checkLaunch({ template, draft }: TenantOrder, wait: string | undefined): void {
  if (wait === undefined || wait === "0") return;
  if (!draft.machines.some(({ machine }) => machine.skip_launch === true)) return;
  throw template.failure(
    ["machine", "skip_launch"],
    "is true, so there is no start to wait for; leave --wait-timeout-secs out",
  );
}

function exists(tenant: string, app: string, machines: readonly FlyMachine[]): Failure {
  return new Failure("FV-ADM-003", `tenant "${tenant}" exists already in app "${app}"`, {
    because: `it has ${machines.map(({ id, state }) => `${id} (${state})`).join(", ")}`,
    fix: `to change it:  fly-vault-admin tenant apply ${tenant} -f FILE; to make it anew:  fly-vault-admin tenant delete ${tenant} --app ${app}`,
  });
}

const keyedLater =
  `then, once a machine's id is known, its admission key is put into its env ` +
  `(${admissionKeyVariable}), and it is started`;
