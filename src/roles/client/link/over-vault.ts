import type { GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { makeReady, type ReadyOptions } from "../provision/ready.ts";
import { type Leaving, stopBefore } from "./stop-before.ts";
import type { TimedLink } from "./timed-link.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import {
  type LinkFlagValues,
  openLink,
  reconnectMsOf,
  transportOf,
  type Vault,
} from "./vault-link.ts";

/** What a command that talks to a vault was told, and what it needs. */
export interface VaultWish {
  readonly flags: LinkFlagValues;
  readonly global: GlobalOptions;
  /** Where `--reconnect` was not given; without it a lost link is waited for without end. */
  readonly reconnectMs?: number;
  /** Absent: the machine is taken as it is, cold or not. */
  readonly ready?: Pick<ReadyOptions, "replaceWith">;
  readonly onState?: (state: LinkState) => void;
  /** Never a link that another command left standing: what is shown must have been proven just now. */
  readonly fresh?: true;
  /** As in `VaultLinkOptions`. */
  readonly isBulk?: boolean;
}

/** What the work of a command is given. */
export interface VaultWork {
  readonly link: AttestedLink;
  readonly config: VaultConfig;
  /** Signals are the work's own business from here on; before, one ends the command. */
  readonly started: () => void;
  readonly leaving: Leaving;
}

/**
 * Runs `work` over an attested link to the vault, and closes the link whatever happens. Everything
 * that goes wrong on the way rejects with a `Failure` in the user's words.
 */
export async function overVault(
  vault: Vault,
  wish: VaultWish,
  context: Context,
  work: (given: VaultWork) => Promise<number>,
): Promise<number> {
  const { config } = vault;
  const { flags, global, ready } = wish;
  const onState = (state: LinkState): void => {
    context.log?.note("link-state", { ...state });
    wish.onState?.(state);
  };
  try {
    return await stopBefore(context, async (started, leaving) => {
      const link = await openLink(
        vault,
        {
          ...global,
          reconnectMs: reconnectMsOf(flags.reconnect) ?? wish.reconnectMs,
          transport: transportOf(flags.transport),
          share: wish.fresh === true ? false : flags.link,
          isBulk: wish.isBulk,
          onState,
        },
        context,
      );
      leaving(async () => link.close());
      let timed: TimedLink | undefined;
      try {
        if (ready !== undefined)
          await makeReady(link, config, { ...ready, quiet: global.quiet, leaving }, context);
        if (flags.timing === true) timed = await timedLink(link, context);
        return await work({ link: timed ?? link, config, started, leaving });
      } finally {
        if (timed !== undefined) await context.stderr.write(`${timed.line}\n`);
        await link.close();
      }
    });
  } catch (error) {
    const { asFailure } = await import("./remote-failure.ts");
    throw asFailure(error, config.name);
  }
}

async function timedLink(link: AttestedLink, context: Context): Promise<TimedLink> {
  const { TimedLink: Timed } = await import("./timed-link.ts");
  return new Timed(link, context);
}
