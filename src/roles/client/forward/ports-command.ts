import { defineCommand } from "../../../cli/command.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { renderTable } from "../../../cli/table.ts";
import { overVault } from "../link/over-vault.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { listPorts } from "./follow-ports.ts";

export const ports = defineCommand({
  name: "ports",
  summary: "List what programs in a vault listen on",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "as JSON" }, ...linkFlags },
  description:
    "TCP ports of the vault's own programs, now. `connect` on a terminal forwards those that show up while it runs (auto_forward in the configuration).",
  examples: ["fly-vault ports my-dev", "fly-vault ports my-dev --json | jq '.data[].port'"],
  seeAlso: ["fly-vault forward", "fly-vault help forwards"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    return overVault(vault, { flags, global }, context, async ({ link }) => {
      const list = await listPorts(link);
      if (flags.json) {
        const data = list.map(({ port, host, process, pid }) => ({ port, host, process, pid }));
        await context.stdout.write(jsonDocument("ports", data));
      } else if (list.length > 0) {
        const rows = list.map(({ port, host, process, pid }) => [
          String(port),
          host,
          process,
          pid === null ? "-" : String(pid),
        ]);
        await context.stdout.write(renderTable(["PORT", "ADDRESS", "PROCESS", "PID"], rows));
      } else if (!global.quiet) {
        await context.stderr.write(`nothing listens in "${vault.config.name}"\n`);
      }
      return 0;
    });
  },
});
