import { cwd } from "node:process";
import type { GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { styled } from "../../../cli/colour.ts";
import { Failure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { clientLimits } from "../limits.ts";
import { findProject, type FoundProject, type ProjectFile } from "./project-file.ts";
import { type ConfigOverview, type LoadedConfig, readOverview, vaultOf } from "./vault-config.ts";

/** Which vault, and who said so; nobody where the user did, in words. */
export interface VaultChoice {
  readonly name: string;
  readonly origin: string | undefined;
}

/**
 * The vault a command is about, with its configuration and what the project's file adds to it. A
 * choice that was not made in words is told a person at a terminal.
 */
export async function loadChosenVault(
  said: string | undefined,
  wish: { readonly flags: object; readonly global: GlobalOptions; readonly next?: string },
  context: Context,
): Promise<LoadedConfig> {
  const { flags, global, next } = wish;
  const found = findProject(currentFolder(context));
  const overview = readOverview(context.env);
  const choice = chooseVault(said, { overview, project: found.project, env: context.env, next });
  const { vault, warnings } = loadNamed(overview, choice);
  const isJson = "json" in flags && flags.json === true;
  if (choice.origin !== undefined && context.stderr.isTty && !global.quiet && !isJson) {
    const line = `vault ${vault.name} (${choice.origin})`;
    await context.stderr.write(`${styled("dim", line, "stderr", context)}\n`);
  }
  return { vault: withProject(vault, found.project), warnings: [...found.warnings, ...warnings] };
}

/** Word, environment, project, `vault use`, the only one. */
export function chooseVault(
  said: string | undefined,
  from: {
    readonly overview: ConfigOverview;
    readonly project: ProjectFile | undefined;
    readonly env: Context["env"];
    /** The word that was taken for the one behind the vault. */
    readonly next?: string | undefined;
  },
): VaultChoice {
  if (said !== undefined && said !== "") return { name: said, origin: undefined };
  const { overview, project, env, next } = from;
  const fromEnv = env["FLY_VAULT_VAULT"];
  if (fromEnv !== undefined && fromEnv !== "")
    return { name: fromEnv, origin: "from FLY_VAULT_VAULT" };
  if (project?.vault !== undefined) return { name: project.vault, origin: `from ${project.shown}` };
  if (overview.defaultVault !== undefined)
    return { name: overview.defaultVault, origin: "the default" };
  const [only, ...others] = overview.names;
  if (only === undefined) throw noVault(overview.file.path);
  if (others.length === 0) return { name: only, origin: "the only one" };
  if (next !== undefined && overview.names.includes(next))
    throw new UsageError(`"${next}" is the vault, and the word behind it is missing`);
  const listed = overview.names.slice(0, clientLimits.namesListedMax).join(", ");
  throw new UsageError(`VAULT is missing (one of ${listed}; or: fly-vault vault use VAULT)`);
}

export function projectOf(context: Context): FoundProject {
  return findProject(currentFolder(context));
}

function loadNamed(overview: ConfigOverview, { name, origin }: VaultChoice): LoadedConfig {
  try {
    return vaultOf(overview, name);
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== "FV-CFG-005" || origin === undefined)
      throw error;
    const because = [`the name is ${origin}`, error.because].filter(Boolean).join("; ");
    throw new Failure(error.code, error.message, {
      because,
      ...(error.fix === undefined ? {} : { fix: error.fix }),
    });
  }
}

function withProject(
  vault: LoadedConfig["vault"],
  project: ProjectFile | undefined,
): LoadedConfig["vault"] {
  if (project === undefined || (project.vault ?? vault.name) !== vault.name) return vault;
  return { ...vault, forward: [...(project.forward ?? vault.forward)], env: project.env };
}

function noVault(path: string): Failure {
  return new Failure("FV-CFG-005", "there is no vault yet", {
    because: `${path} names none`,
    fix: "fly-vault add  sets one up",
  });
}

function currentFolder({ cwd: folder }: Context): string {
  return folder ?? cwd();
}
