import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { printable } from "../../../cli/printable.ts";
import { seenRecord } from "./seen-machine.ts";
import { maskedValue, shownToken, tomlValue } from "./shown-config.ts";
import { loadChosenVault } from "./vault-choice.ts";
import type { VaultConfig } from "./vault-config.ts";
import { vaultPositional } from "../link/vault-link.ts";

export const vaultShow = defineCommand({
  name: "vault show",
  summary: "Show what is known of a vault, without its secrets",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "print it as JSON" } },
  description: "Nothing is sent; verify asks the machine itself.",
  examples: ["fly-vault vault show my-dev"],
  seeAlso: ["fly-vault verify", "fly-vault config show"],
  run: async ({ flags, positionals, global }, context) => {
    const { vault } = await loadChosenVault(positionals.vault, { flags, global }, context);
    const token = await shownToken(vault, context);
    const seen = await seenMachine(vault, context);
    await context.stdout.write(
      flags.json
        ? jsonDocument("vault", { ...members(vault, token), ...seen })
        : text(vault, token, seen),
    );
    return 0;
  },
});

/** Everything but the secrets. */
function members(vault: VaultConfig, token: string | undefined): Record<string, unknown> {
  const { folder: _folder, access_token: _secret, admission_key, token: _token, ...shown } = vault;
  return { ...shown, has_admission_key: admission_key !== undefined, token: token ?? null };
}

function text(vault: VaultConfig, token: string | undefined, seen: SeenMachine): string {
  const { name, path, folder: _folder, token: _token, access_token: _secret, ...keys } = vault;
  const rows = Object.entries(keys)
    .filter(([, value]) => !Array.isArray(value) || value.length > 0)
    .map(([key, value]) => [key, tomlValue(maskedValue(key, value)).replace(/^"(.*)"$/, "$1")]);
  rows.push(["token", token ?? "none"]);
  if (seen.first_seen_at !== null)
    rows.push(["first seen", `machine ${seen.seen_machine_id} on ${seen.first_seen_at}`]);
  const width = Math.max(...rows.map(([key = ""]) => key.length));
  const lines = rows.map(([key = "", value = ""]) => `  ${key.padEnd(width)}  ${printable(value)}`);
  return `${name}  (${path})\n${lines.join("\n")}\n`;
}

interface SeenMachine {
  readonly seen_machine_id: string | null;
  readonly seen_image_digest: string | null;
  readonly first_seen_at: string | null;
}

async function seenMachine({ name }: VaultConfig, { env }: Context): Promise<SeenMachine> {
  const known = await seenRecord(name, env);
  return {
    seen_machine_id: known?.machineId ?? null,
    seen_image_digest: known?.imageDigest ?? null,
    first_seen_at: known === undefined ? null : new Date(known.firstSeenMs).toISOString(),
  };
}
