import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { renderTable } from "../../../cli/table.ts";
import { isTable } from "./config-file.ts";
import { type ConfigOverview, readOverview } from "./vault-config.ts";

export const vaultLs = defineCommand({
  name: "vault ls",
  summary: "List the vaults of the configuration",
  flags: { json: { summary: "print them as JSON" } },
  examples: ["fly-vault vault ls", "fly-vault vault ls --json | jq -r '.data[].name'"],
  run: async ({ flags, global }, context) => {
    const rows = listed(context);
    if (flags.json) {
      await context.stdout.write(jsonDocument("vault-list", rows));
      return 0;
    }
    if (rows.length === 0) {
      if (!global.quiet) await context.stderr.write("no vaults yet (fly-vault add)\n");
      return 0;
    }
    const table = rows.map((row) => [
      row.default ? `${row.name} *` : row.name,
      row.address ?? "-",
      row.org ?? "-",
      row.app ?? "-",
      row.machine_id ?? "-",
    ]);
    await context.stdout.write(renderTable(["NAME", "ADDRESS", "ORG", "APP", "MACHINE"], table));
    return 0;
  },
});

/** One that is written wrong is listed with what can be read of it. */
function listed({ env }: Context) {
  const overview = overviewOf(env);
  if (overview === undefined) return [];
  return Object.entries(overview.vaults).map(([name, table]) => ({
    name,
    address: textOf(table, "address"),
    org: textOf(table, "org"),
    app: textOf(table, "app"),
    machine_id: textOf(table, "machine_id"),
    default: overview.defaultVault === name,
  }));
}

function overviewOf(env: Context["env"]): ConfigOverview | undefined {
  try {
    return readOverview(env);
  } catch (error) {
    if (error instanceof Failure && error.code === "FV-CFG-001") return undefined;
    throw error;
  }
}

function textOf(table: unknown, key: string): string | null {
  const value = isTable(table) && Object.hasOwn(table, key) ? table[key] : undefined;
  return typeof value === "string" ? value : null;
}
