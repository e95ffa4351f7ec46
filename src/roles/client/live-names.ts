import type { Candidate, LiveNames } from "../../cli/completion.ts";
import type { Context } from "../../cli/context.ts";
import { failureCodes } from "../../cli/failure-codes.ts";
import { readOverview } from "./vault/vault-config.ts";

/** Names for the completion of words: of the configuration, and of what is at hand without the network. */
export function liveNames({ env }: Context): LiveNames {
  return {
    VAULT: () => vaultNames(env),
    CODE: () => Object.entries(failureCodes).map(([word, { title }]) => ({ word, summary: title })),
  };
}

/** A configuration that is broken completes nothing; the command itself will say why. */
function vaultNames(env: Context["env"]): Candidate[] {
  try {
    return readOverview(env).names.map((word) => ({ word }));
  } catch {
    return [];
  }
}
