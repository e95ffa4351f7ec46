import { jsonDocument } from "../../cli/json-document.ts";
import { defineCommand } from "../../cli/command.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { FlyMachine } from "../../fly/machine-shape.ts";
import type { MachinesApi } from "../../fly/machines-api.ts";
import { admissionKeysText } from "./admission-keys.ts";
import { connectionFlags, openConnection, runOnApi } from "./connection.ts";
import { waitTimeoutMs } from "./create-input.ts";
import { rekeyMachine } from "./machine-rekey.ts";
import { oneByOne } from "./machine-sequence.ts";
import { organisation } from "./organisation.ts";
import { checkProxyAddress, proxyFlags } from "./proxy-access.ts";
import { readProxyMasters } from "./proxy-key-file.ts";
import { changingFlags } from "./shared-flags.ts";
import { checkTenantId, machinesOfTenant, managedMachines } from "./tenant-id.ts";
import { listedVaults } from "./tenant-vaults.ts";
import {
  localIssuer,
  renderVaultBlock,
  type VaultEntry,
  vaultEntry,
  vaultJson,
} from "./vault-block.ts";

export const tenantRekey = defineCommand({
  name: "tenant rekey",
  summary: "Give machines the admission keys of a key file",
  description:
    "One machine after the other: leased, updated, and waited for. A machine that runs starts anew, " +
    "and what runs in it ends; one that does not run stays so, a suspended one loses what it was " +
    "suspended with. Machines that have these keys are left alone. Prints the entries for the clients " +
    "of all of them. On a failure it stops; run again, it goes on.",
  flags: {
    "all-tenants": { summary: "all tenants of the app" },
    ...proxyFlags,
    ...changingFlags,
    json: { summary: "print the entries as JSON" },
    ...connectionFlags,
  },
  positionals: { tenant: { name: "TENANT", optional: true } },
  examples: [
    "fly-vault-admin tenant rekey acme --key-file proxy.key --proxy vault.example.com:443",
    "fly-vault-admin tenant rekey --all-tenants --key-file proxy.key",
  ],
  exitStatus: "0 all have the keys; 3 no such tenant; 8 some do not have them yet",
  run: async ({ flags, positionals }, context) => {
    const all = flags["all-tenants"];
    if (all === (positionals.tenant !== undefined))
      throw new UsageError("name one TENANT, or say --all-tenants");
    // An empty word is a script's slip, and must not come to mean everybody.
    const tenant = given(positionals.tenant, checkTenantId);
    const proxy = given(flags.proxy, checkProxyAddress);
    const waitMs = waitTimeoutMs(flags["wait-timeout-secs"]);
    const masters = await readProxyMasters(flags["key-file"], context);
    return runOnApi(context, async () => {
      const { api, base } = await openConnection(flags, context);
      const vaults = listedVaults(await machinesOf(api, tenant));
      const org = flags.org ?? (await organisation(api, context));
      const place = { app: api.app, org, issuer: await localIssuer(base, org), proxy };
      const entries: VaultEntry[] = [];
      const show = async (entry: VaultEntry): Promise<void> => {
        entries.push(entry);
        const blank = entries.length === 1 ? "" : "\n";
        if (!flags.json) await context.stdout.write(`${blank}${renderVaultBlock(entry)}`);
      };
      try {
        await oneByOne(vaults, "its keys", async ({ machine: { id, state }, ...vault }) => {
          const keys = admissionKeysText(masters, id);
          const { machine, words } = await rekeyMachine(api, id, { keys, waitMs });
          const states = machine === undefined ? state : `${machine.state}, was ${state}`;
          await context.stderr.write(`machine ${id} ${words} (${states})\n`);
          if (machine === undefined) return;
          const admissionKey = admissionKeysText(masters.slice(0, 1), id);
          await show(vaultEntry({ ...vault, machine, admissionKey }, place));
        });
      } finally {
        if (flags.json) await context.stdout.write(renderJson(entries));
      }
      return 0;
    });
  },
});

function given(word: string | undefined, check: (word: string) => string): string | undefined {
  return word === undefined ? undefined : check(word);
}

async function machinesOf(api: MachinesApi, tenant: string | undefined): Promise<FlyMachine[]> {
  return tenant === undefined ? managedMachines(api) : machinesOfTenant(api, tenant);
}

function renderJson(entries: readonly VaultEntry[]): string {
  const data = entries.map(vaultJson);
  return jsonDocument("tenant-rekey", data);
}
