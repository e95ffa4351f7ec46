import type { Flags, GlobalOptions } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { parseDuration } from "../../../cli/duration.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { readAccessToken } from "../vault/access-token.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { slowTokenSource } from "../shared-link/link-key.ts";
import { mayShare, openSharedLink, tellOfOwnLink } from "../shared-link/shared-link-choice.ts";
import { type TransportWish, transportWishes } from "../dial/transport.ts";
import { loadChosenVault } from "../vault/vault-choice.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

/** Flags of every command that talks to a vault. */
export const linkFlags = {
  "token-file": { value: "FILE", summary: 'read the access token from here ("-": standard input)' },
  reconnect: { value: "DURATION", summary: "how long to wait for a lost link" },
  transport: {
    value: "KIND",
    choices: transportWishes,
    summary: "UDP, TLS over TCP (through a proxy alone), or whichever answers (default auto)",
  },
  link: {
    negatable: true,
    summary:
      "share the background link of the vault, or not (default: share, but not for bulk or in CI)",
  },
  timing: { summary: "say on stderr where the time went" },
} as const satisfies Flags;

/** The vault a command is about: left out where the environment says which. */
export const vaultPositional = { name: "VAULT", optional: true } as const;

/** As the parser gives them. */
export interface LinkFlagValues {
  readonly "token-file": string | undefined;
  readonly reconnect: string | undefined;
  readonly transport: string | undefined;
  readonly link?: boolean | undefined;
  readonly timing?: boolean;
}

export interface VaultLinkOptions {
  readonly reconnectMs: number | undefined;
  readonly transport: TransportWish | undefined;
  readonly verbose: number;
  readonly quiet: boolean;
  /** `--link`, `--no-link`. */
  readonly share?: boolean | undefined;
  /** Much is going to be moved: by a link of its own, a process and a copy of each byte less. */
  readonly isBulk?: boolean | undefined;
  readonly onState?: (state: LinkState) => void;
}

export interface Vault {
  readonly config: VaultConfig;
  /** Looks it up the first time it is needed: a command that finds a link standing needs none. */
  readonly accessToken: () => Promise<string>;
  /** What stands for the token in the name of the background link; absent where there is to be none. */
  readonly tokenName?: () => Promise<string>;
  /** A program has to be asked for the token, and a person perhaps: no more often than needed. */
  readonly isTokenAsked?: boolean;
}

/** Reads the configuration; nothing is sent. Warnings go to stderr. */
export async function readVault(
  said: string | undefined,
  wish: {
    readonly flags: LinkFlagValues;
    readonly global: GlobalOptions;
    /** The word that was taken for the one behind the vault. */
    readonly next?: string;
  },
  context: Context,
): Promise<Vault> {
  const { flags, global } = wish;
  // A mistake in the words comes before one in a file.
  reconnectMsOf(flags.reconnect);
  const { vault: config, warnings } = await loadChosenVault(said, wish, context);
  const warn = async (lines: readonly string[]): Promise<void> => {
    if (global.quiet) return;
    for (const line of lines) await context.stderr.write(`warning: ${line}\n`);
  };
  await warn(warnings);
  const read = async (): Promise<string> => {
    const access = await readAccessToken(config, context, flags["token-file"]);
    context.log?.hide(access.token);
    // A script cannot do anything about a weak token; a person at a terminal can.
    if (context.stderr.isTty) await warn(access.warnings);
    return access.token;
  };
  let reading: Promise<string> | undefined;
  const accessToken = async (): Promise<string> => (reading ??= read());
  const source = slowTokenSource(config, flags["token-file"], context.env);
  const tokenName = async (): Promise<string> => source ?? (await accessToken());
  return { config, accessToken, tokenName, isTokenAsked: source !== undefined };
}

/** By the background link where the vault may have one, else dialled here. Rejects with `Failure`. */
export async function openLink(
  vault: Vault,
  options: VaultLinkOptions,
  context: Context,
): Promise<AttestedLink> {
  const isApart = options.isBulk === true && vault.isTokenAsked !== true;
  const share = options.share ?? (isApart ? false : undefined);
  if (vault.tokenName !== undefined && mayShare(vault.config, share, context.env)) {
    try {
      return await openSharedLink({ ...vault, tokenName: vault.tokenName }, options, context);
    } catch (error) {
      await tellOfOwnLink(error, options, context);
    }
  }
  return openOwnLink(vault, options, context);
}

/** A command that finds the background link standing needs none of this. */
async function openOwnLink(
  vault: Vault,
  options: VaultLinkOptions,
  context: Context,
): Promise<AttestedLink> {
  // Before anything is sent: a token that is missing is no reason to wake a machine.
  const token = await vault.accessToken();
  const { Link } = await import("./link.ts");
  const { VaultOpener } = await import("../dial/vault-opener.ts");
  const opener = new VaultOpener(vault.config, token, options, context);
  return Link.open({
    vault: vault.config.name,
    open: () => opener.open(),
    reconnectMs: options.reconnectMs,
    clock: context,
    ...(options.onState === undefined ? {} : { onState: options.onState }),
  });
}

/** `--reconnect`; undefined where it was not given. */
export function reconnectMsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms === undefined)
    throw new UsageError(`--reconnect must be a duration such as 30s or 2m, not "${text}"`);
  return ms;
}

/** `--transport`; the parser knows its values. */
export function transportOf(text: string | undefined): TransportWish | undefined {
  return transportWishes.find((wish) => wish === text);
}
