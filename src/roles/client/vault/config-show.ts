import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { configPath } from "../../../cli/paths.ts";
import { tomlKey } from "../../../cli/toml-words.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { isTable, place } from "./config-file.ts";
import { maskedValue, tomlValue } from "./shown-config.ts";
import { chooseVault, projectOf } from "./vault-choice.ts";
import { type ConfigOverview, readOverview } from "./vault-config.ts";

export const configShow = defineCommand({
  name: "config show",
  summary: "Show what the configuration comes to, secrets masked",
  flags: {
    origin: { summary: "say where each value comes from" },
    json: { summary: "print it as JSON" },
  },
  description:
    "The vault that is meant when none is named, then every vault. Order of sources: word or flag, environment, project file, configuration, default.",
  examples: ["fly-vault config show --origin"],
  run: async ({ flags }, context) => {
    const settings = settingsOf(context);
    if (flags.json) {
      await context.stdout.write(jsonDocument("config", settings));
      return 0;
    }
    const lines = settings.map(({ key, value, origin }) =>
      flags.origin ? `${key} = ${tomlValue(value)}  # ${origin}` : `${key} = ${tomlValue(value)}`,
    );
    await context.stdout.write(lines.map((line) => `${line}\n`).join(""));
    return 0;
  },
});

export const configPathCommand = defineCommand({
  name: "config path",
  summary: "Print the path of the configuration file",
  run: async (_options, context) => {
    await context.stdout.write(`${configPath(context.env)}\n`);
    return 0;
  },
});

interface Setting {
  readonly key: string;
  /** Without what is secret in it. */
  readonly value: unknown;
  readonly origin: string;
}

function settingsOf(context: Context): Setting[] {
  const overview = readOverview(context.env);
  const { project } = projectOf(context);
  const settings: Setting[] = [...chosen(overview, context)];
  if (project !== undefined) {
    const { shown: origin, forward, env } = project;
    if (forward !== undefined) settings.push({ key: "forward", value: forward, origin });
    for (const [name, value] of Object.entries(env))
      settings.push({ key: `env.${name}`, value, origin });
  }
  for (const name of ["FLY_VAULT_TOKEN_FILE", "FLY_VAULT_TOKEN"] as const) {
    const value = context.env[name];
    if (value === undefined || value === "") continue;
    const shown = name === "FLY_VAULT_TOKEN" ? maskedValue("access_token", value) : value;
    settings.push({ key: name, value: shown, origin: "environment" });
  }
  return [...settings, ...Object.keys(overview.vaults).flatMap((name) => ofVault(overview, name))];
}

function chosen(overview: ConfigOverview, context: Context): Setting[] {
  const { project } = projectOf(context);
  const { file, defaultVault } = overview;
  const settings: Setting[] = [];
  try {
    const { name, origin } = chooseVault(undefined, { overview, project, env: context.env });
    settings.push({ key: "vault", value: name, origin: origin ?? "" });
  } catch (error) {
    // Several, and nobody says which.
    if (!(error instanceof UsageError)) throw error;
  }
  if (defaultVault !== undefined)
    settings.push({
      key: "default_vault",
      value: defaultVault,
      origin: place(file, [], "default_vault"),
    });
  return settings;
}

function ofVault({ file, vaults }: ConfigOverview, name: string): Setting[] {
  const table = vaults[name];
  if (!isTable(table)) return [];
  return Object.entries(table).map(([key, value]) => ({
    key: `vault.${tomlKey(name)}.${tomlKey(key)}`,
    value: maskedValue(key, value),
    origin: place(file, ["vault", name], key),
  }));
}
