import { jsonDocument } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import { generateToken } from "../../fly/token.ts";
import { admissionKeyVariable } from "./admission-keys.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { readAccessToken, waitTimeoutMs } from "./create-input.ts";
import { changeEnvironment } from "./environment-change.ts";
import { oneByOne } from "./machine-sequence.ts";
import { organisation } from "./organisation.ts";
import { checkProxyAddress, proxyFlags } from "./proxy-access.ts";
import { changingFlags } from "./shared-flags.ts";
import { checkTenantId, machinesOfTenant } from "./tenant-id.ts";
import { listedVaults } from "./tenant-vaults.ts";
import { keepsToken, planRotation, tokenBefore } from "./token-rotation.ts";
import {
  localIssuer,
  renderVaultBlock,
  type VaultEntry,
  vaultEntry,
  vaultJson,
} from "./vault-block.ts";

export const tenantRotateToken = defineCommand({
  name: "tenant rotate-token",
  summary: "Give a tenant's machines a new access token",
  description:
    "One machine after the other: leased, updated, and waited for. A machine that runs starts anew, " +
    "so that nobody stays in with the old token, and what runs in it ends; one that does not run stays " +
    "so. Prints the new entries for the clients. On a failure it stops; run again, it goes on with the " +
    "same token until all machines have it.",
  flags: {
    "access-token-file": {
      value: "FILE",
      summary: "file with the new token, - for stdin (default: one is made)",
    },
    proxy: proxyFlags.proxy,
    ...changingFlags,
    json: { summary: "print the entries as JSON" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT" } },
  examples: [
    "fly-vault-admin tenant rotate-token acme",
    "fly-vault-admin tenant rotate-token acme --proxy vault.example.com:443 --json",
  ],
  exitStatus: "0 all have the new token; 3 no such tenant; 8 some do not have it yet",
  run: async ({ flags, positionals }, context) => {
    const tenant = checkTenantId(positionals.tenant);
    const proxy = flags.proxy === undefined ? undefined : checkProxyAddress(flags.proxy);
    const waitMs = waitTimeoutMs(flags["wait-timeout-secs"]);
    const file = flags["access-token-file"];
    const given =
      file === undefined
        ? undefined
        : await readAccessToken({ "access-token": undefined, "access-token-file": file }, context);
    const say = async (line: string): Promise<void> => context.stderr.write(`${line}\n`);
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context);
      const vaults = listedVaults(await machinesOfTenant(api, tenant));
      const machines = vaults.map(({ machine }) => machine);
      const fresh = (): string => generateToken(context.randomBytes(32));
      const { token, change, isResumed } = planRotation(machines, { given, fresh });
      if (isResumed)
        await say(
          "an earlier rotation broke off; it goes on with its token. Run again for another",
        );
      for (const machine of machines.filter(keepsToken))
        await say(`warning: machine ${machine.id} has its token elsewhere, too; there it stays`);
      const org = flags.org ?? (await organisation(api, context));
      const place = { app: api.app, org, issuer: await localIssuer(base, org), proxy };
      const entries: VaultEntry[] = [];
      try {
        await oneByOne(vaults, "its new token", async ({ machine: listed, name }) => {
          const { id, state } = listed;
          const { machine, outcome } = await changeEnvironment(api, id, {
            change: { ...change, from: tokenBefore(listed) },
            waitMs,
          });
          const states = machine === undefined ? state : `${machine.state}, was ${state}`;
          await say(`machine ${id} ${outcomes[outcome]} (${states})`);
          if (machine === undefined) return;
          const [admissionKey] = machine.config?.env?.[admissionKeyVariable]?.split(",") ?? [];
          const entry = vaultEntry({ name, accessToken: token, admissionKey, machine }, place);
          entries.push(entry);
          const blank = entries.length === 1 ? "" : "\n";
          if (!flags.json) await context.stdout.write(`${blank}${renderVaultBlock(entry)}`);
        });
      } finally {
        if (flags.json) await context.stdout.write(renderJson(entries));
      }
      return 0;
    });
  },
});

function renderJson(entries: readonly VaultEntry[]): string {
  const data = entries.map(vaultJson);
  return jsonDocument("tenant-rotate-token", data);
}

const outcomes = {
  gone: "is gone",
  unchanged: "has the new token already",
  changed: "has the new token",
  "changed-and-running": "has the new token, and runs with it",
} as const;
