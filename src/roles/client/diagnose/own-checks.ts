import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { arch, platform, release } from "node:os";
import type { Check, CheckOutcome } from "../../../cli/check.ts";
import type { Context } from "../../../cli/context.ts";
import type { Failure } from "../../../cli/failure.ts";
import { cacheDirectory, configPath, stateDirectory } from "../../../cli/paths.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { version } from "../../../cli/program.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { protocolVersion } from "../../../protocol/limits.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { outcomeOf } from "./failure-outcome.ts";

/** The vault that is meant, or why none is. */
export type FoundVault =
  | { readonly config: VaultConfig; readonly warnings: readonly string[] }
  | { readonly error: Failure | UsageError };

export function programCheck(): Check {
  const { oldest, newest } = protocolVersion;
  const detail = `fly-vault ${version}, protocol ${oldest} to ${newest}, Bun ${Bun.version}, ${platform()} ${release()} ${arch()}`;
  return { name: "program", title: "program", run: async () => ({ status: "ok", detail }) };
}

export function configurationCheck(found: FoundVault, { env }: Context): Check {
  const path = configPath(env);
  const run = async (): Promise<CheckOutcome> => {
    if ("config" in found) {
      const detail = `${path}, vault "${found.config.name}"`;
      const [first, ...more] = found.warnings;
      if (first === undefined) return { status: "ok", detail };
      return { status: "warning", detail, more: [first, ...more], fix: "fly-vault help config" };
    }
    const { error } = found;
    // Several vaults and none said is no trouble of the computer's.
    if (error instanceof UsageError)
      return { status: "skipped", detail: `${path}: ${error.message}` };
    return outcomeOf(async () => Promise.reject(error), "fly-vault add");
  };
  return { name: "configuration", title: "configuration", run };
}

/** State must be writable; the cache only makes things faster. */
export function foldersCheck({ env }: Context): Check {
  const run = async (): Promise<CheckOutcome> => {
    for (const path of [stateDirectory(env), cacheDirectory(env)]) {
      const fault = await faultOf(path);
      if (fault !== undefined)
        return {
          status: "failed",
          detail: `${path}: ${fault}`,
          fix: `chmod 700 ${shellWord(path)}`,
        };
    }
    return { status: "ok", detail: `${stateDirectory(env)}, ${cacheDirectory(env)}` };
  };
  return { name: "folders", title: "state and cache", run };
}

/** One that is not there yet is made when it is needed. */
async function faultOf(path: string): Promise<string | undefined> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o022) !== 0) return `others can write it, mode 0${(mode & 0o777).toString(8)}`;
    await access(path, constants.W_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return code === "ENOENT" ? undefined : code;
  }
}
