import type { Candidate, LiveNames } from "../../cli/completion.ts";
import type { Context } from "../../cli/context.ts";
import { failureCodes } from "../../cli/failure-codes.ts";
import { within } from "../../system/within.ts";
import { runningForwards } from "./forward/forward-live.ts";
import { clientLimits } from "./limits.ts";
import { readVault } from "./link/vault-link.ts";
import { listSessions } from "./session/session-choice.ts";
import { openStandingLink } from "./shared-link/standing-link.ts";
import { readOverview } from "./vault/vault-config.ts";

/**
 * Names for the completion of words: of the configuration, and of what is at hand without the network.
 * What goes wrong completes nothing, for the command itself will say why; so does what takes too long.
 */
export function liveNames(context: Context): LiveNames {
  const silent: Context = { ...context, stderr: { ...context.stderr, write: async () => {} } };
  return {
    VAULT: async () => atOnce(async () => vaultNames(silent)),
    "SRC… DST": async () =>
      atOnce(async () => vaultNames(silent).map(({ word }) => ({ word: `${word}:` }))),
    CODE: () => Object.entries(failureCodes).map(([word, { title }]) => ({ word, summary: title })),
    SESSION: async (vault) => atOnce(async () => sessionNames(vault, silent)),
    LISTEN: async (vault) => atOnce(async () => listeners(vault, silent)),
  };
}

async function atOnce(ask: () => Promise<readonly Candidate[]>): Promise<readonly Candidate[]> {
  try {
    const found = await within(ask(), clientLimits.completionMs);
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function vaultNames({ env }: Context): Candidate[] {
  return readOverview(env).names.map((word) => ({ word }));
}

/** Over the background link alone: a key that is pressed must not wake a machine. */
async function sessionNames(said: string | undefined, context: Context): Promise<Candidate[]> {
  const flags = { "token-file": undefined, reconnect: undefined, transport: undefined };
  const global = { quiet: true, verbose: 0, debug: false };
  const vault = await readVault(said, { flags, global }, context);
  const { tokenName } = vault;
  const link = tokenName && (await openStandingLink({ ...vault, tokenName }, context));
  if (link === undefined) return [];
  try {
    const sessions = await listSessions(link);
    return sessions.map(({ session_id: id, name, state, argv }) => ({
      word: name ?? id,
      summary: `${state}: ${argv.join(" ") || "shell"}`,
    }));
  } finally {
    await link.close();
  }
}

async function listeners(vault: string | undefined, context: Context): Promise<Candidate[]> {
  const running = await runningForwards(vault, context);
  return running.flatMap(({ process, forwards }) =>
    forwards.map(({ listen, local_port: port, line }) => ({
      word: port === null ? listen : String(port),
      summary: `${process.vault}: ${line}`,
    })),
  );
}
