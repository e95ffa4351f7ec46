import { defineCommand } from "../../cli/command.ts";
import { Failure } from "../../cli/failure.ts";
import { MachinesApiError } from "../../fly/api-error.ts";
import { admissionKeysText, admissionKeyVariable } from "./admission-keys.ts";
import { apiFailure } from "./api-failure.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { parseVariables, readAccessToken, waitTimeoutMs } from "./create-input.ts";
import { organisation } from "./organisation.ts";
import { type PlannedMachine, planTenant } from "./plan.ts";
import { type ProxyAccess, proxyFlags, readProxyAccess } from "./proxy-access.ts";
import { maskSecrets } from "./secret-mask.ts";
import { Template } from "./template.ts";
import { checkTenantId, managedMachinesForSure } from "./tenant-id.ts";
import { type MadeMachine, TenantMaker } from "./tenant-maker.ts";
import {
  localIssuer,
  renderVaultBlock,
  type VaultEntry,
  vaultEntry,
  vaultJson,
} from "./vault-block.ts";

export const tenantCreate = defineCommand({
  name: "tenant create",
  summary: "Make a tenant's machines and volumes from a template",
  description:
    "Prints the entry for the client's configuration on stdout, everything else on stderr. On a " +
    "failure all that was made is removed again, or named where that failed, too. With --proxy the " +
    "machine answers nobody without its admission key, which is in the entry.",
  flags: {
    template: { value: "FILE", summary: "the tenant template (TOML)" },
    "access-token-file": {
      value: "FILE",
      summary: "file with the tenant's access token, - for stdin (default: a new one is made)",
    },
    "access-token": {
      value: "TOKEN",
      summary: "the same as a word; others can see it with ps",
    },
    var: { value: "KEY=VALUE", repeatable: true, summary: "a value for {{KEY}}; may be repeated" },
    ...proxyFlags,
    "dry-run": { summary: "print what would be sent, secrets masked, and send nothing" },
    "wait-timeout-secs": {
      value: "N",
      summary: "how long to wait for the machines to start; 0: not at all (default: 300)",
    },
    org: { value: "SLUG", env: "FLY_ORG", summary: "organisation to print, if not the app's own" },
    json: { summary: "print the entry as JSON" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: [
    "fly-vault-admin tenant create acme --template ./tenant.template.toml",
    "fly-vault-admin tenant create acme --template ./tenant.template.toml --dry-run",
    "fly-vault-admin tenant create acme --template ./tenant.template.toml --proxy vault.example.com:443 --key-file proxy.key",
  ],
  exitStatus: "0 made; 2 the template or a flag is wrong; 7 it exists already; 8 something is left",
  run: async ({ flags, positionals }, context) => {
    const tenant = checkTenantId(positionals.tenant);
    if (flags.template === undefined) {
      throw new Failure("FV-CLI-001", "--template is missing", {
        fix: "fly-vault-admin tenant create TENANT --template FILE",
      });
    }
    const template = Template.read(flags.template);
    if (flags.app !== undefined && flags.app !== template.document.app) {
      throw template.failure(
        ["app"],
        `is "${template.document.app}", but --app says "${flags.app}"`,
      );
    }
    const waitMs = waitTimeoutMs(flags["wait-timeout-secs"]);
    const proxy = await readProxyAccess(flags, context);
    const accessToken = await readAccessToken(flags, context);
    const plan = planTenant(template, {
      tenant,
      accessToken,
      variables: parseVariables(flags.var),
      runId: Buffer.from(context.randomBytes(8)).toString("hex"),
    });
    if (!plan.usesToken) {
      await context.stderr.write(
        `warning: ${template.path} does not use {{access_token}}, so the machine gets none from here\n`,
      );
    }
    if (proxy !== undefined) checkNoOwnKey(template, plan.machines);
    if (flags["dry-run"]) {
      await context.stdout.write(renderDryRun(plan.machines, accessToken, proxy));
      if (proxy !== undefined) await context.stderr.write(`${keyedLater}\n`);
      return 0;
    }
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context, template.document.app);
      const existing = await managedMachinesForSure(api, tenant);
      if (existing.length > 0) {
        throw new Failure("FV-ADM-003", `tenant "${tenant}" exists already in app "${api.app}"`, {
          because: `it has ${existing.map((machine) => `${machine.id} (${machine.state})`).join(", ")}`,
          fix: `its token was shown only when it was made; was that cut short, remove it and make it anew:  fly-vault-admin tenant delete ${tenant} --app ${api.app}`,
        });
      }
      const org = flags.org ?? (await organisation(api, context));
      const maker = new TenantMaker({
        api,
        note: async (line) => context.stderr.write(`${line}\n`),
        keysOf: proxy && ((machineId) => admissionKeysText(proxy.masters, machineId)),
      });
      const issuer = await localIssuer(base, org);
      const place = { app: api.app, org, issuer, proxy: proxy?.address };
      const show = async (): Promise<void> => {
        const entries = maker.machines.map((made) =>
          vaultEntry({ ...vaultOf(made, proxy), accessToken }, place),
        );
        await context.stdout.write(
          flags.json ? renderJson(entries) : entries.map(renderVaultBlock).join("\n"),
        );
      };
      await makeAll(maker, plan.machines, { waitMs, tenant, show });
      return 0;
    });
  },
});

/**
 * All or nothing: on any failure, an interruption too, what was made is removed. Showing it is part of
 * that: nobody could ever log in to a machine whose token went nowhere.
 */
async function makeAll(
  maker: TenantMaker,
  machines: readonly PlannedMachine[],
  options: {
    readonly waitMs: number;
    readonly tenant: string;
    readonly show: () => Promise<void>;
  },
): Promise<void> {
  try {
    for (const planned of machines) await maker.make(planned);
    if (options.waitMs > 0) await maker.waitForStart(options.waitMs);
    await options.show();
    await maker.releaseLeases();
  } catch (error) {
    const left = await maker.undo();
    if (left.length === 0) throw error;
    const cause = error instanceof MachinesApiError ? apiFailure(error).message : String(error);
    throw new Failure(
      "FV-ADM-004",
      `tenant "${options.tenant}" was not made, and something is left`,
      {
        because: `${cause}; left behind: ${left.join("; ")}`,
        fix: "remove these by hand: fly machine destroy --force ID, fly volume destroy ID",
      },
    );
  }
}

function vaultOf({ machine, planned }: MadeMachine, proxy: ProxyAccess | undefined) {
  const { vaultName: name } = planned;
  // The newest of them: older ones are for clients that are there already.
  const admissionKey = proxy && admissionKeysText(proxy.masters.slice(0, 1), machine.id);
  return { name, machine, config: planned.machine.config, admissionKey };
}

function checkNoOwnKey(template: Template, machines: readonly PlannedMachine[]): void {
  for (const { machine } of machines) {
    const { env } = machine.config;
    if (typeof env !== "object" || env === null || !(admissionKeyVariable in env)) continue;
    throw template.failure(
      ["machine", "config", "env", admissionKeyVariable],
      "is made for each machine by --proxy; remove it",
    );
  }
}

const keyedLater =
  `then, once a machine's id is known, its admission key is put into its env ` +
  `(${admissionKeyVariable}), and it is started`;

/** The request bodies; volumes that would be made first stand as `<auto:NAME@REGION>`. */
function renderDryRun(
  machines: readonly PlannedMachine[],
  accessToken: string,
  proxy: ProxyAccess | undefined,
): string {
  const bodies = machines.map(({ machine: planned, volumes }) => {
    const machine = proxy === undefined ? planned : { ...planned, skip_launch: true };
    const mounts = machine.config["mounts"];
    if (!Array.isArray(mounts)) return machine;
    const named: unknown[] = [...mounts];
    for (const { mount, name, region } of volumes) {
      named[mount] = Object.assign({}, named[mount], { volume: `<auto:${name}@${region}>` });
    }
    return { ...machine, config: { ...machine.config, mounts: named } };
  });
  return `${JSON.stringify(maskSecrets(bodies, accessToken), undefined, 2)}\n`;
}

function renderJson(entries: readonly VaultEntry[]): string {
  const data = entries.map(vaultJson);

  return `${JSON.stringify({ schema: "fly-vault/tenant-create", version: 1, data })}\n`;
}
