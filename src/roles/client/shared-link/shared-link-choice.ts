import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { formatDuration, parseDuration } from "../../../cli/duration.ts";
import { PrivateFileError } from "../../../system/private-file.ts";
import { attestedLine } from "../dial/attested-line.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import { clientLimits } from "../limits.ts";
import { configDigest, linkName, linkSecret } from "./link-key.ts";
import type { LinkPlan } from "./link-message.ts";
import { LinkFolderError, openLinkFolder } from "./link-place.ts";
import { connectLink, NoSharedLink, startLink } from "./link-start.ts";
import { SharedLink } from "./shared-link.ts";
import type { TransportWish } from "../dial/transport.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

export interface SharingVault {
  readonly config: VaultConfig;
  readonly accessToken: () => Promise<string>;
  readonly tokenName: () => Promise<string>;
}

export interface SharingOptions {
  readonly reconnectMs: number | undefined;
  readonly transport: TransportWish | undefined;
  readonly verbose: number;
  readonly quiet: boolean;
  readonly onState?: (state: LinkState) => void;
}

/**
 * Whether a background link is wanted. Not in CI unless it is asked for: what runs there is expected to
 * be over when the step is, and the machine it runs on may be anybody's next.
 */
export function mayShare(
  config: VaultConfig,
  wish: boolean | undefined,
  env: Context["env"],
): boolean {
  if (process.platform !== "linux" || linkIdleMs(config) === 0) return false;
  if (wish !== undefined) return wish;
  const isSet = (name: string): boolean => !unset.has(env[name] ?? "");
  return !isSet("FLY_VAULT_NO_LINK") && !isSet("CI");
}

const unset: ReadonlySet<string> = new Set(["", "0", "false"]);

/** Rejects with what `tellOfOwnLink` knows, or with the `Failure` of dialling the vault. */
export async function openSharedLink(
  vault: SharingVault,
  options: SharingOptions,
  context: Context,
): Promise<AttestedLink> {
  const { config } = vault;
  const { env, stderr } = context;
  const folder = openLinkFolder(env);
  const secret = await linkSecret(context);
  const token = await vault.tokenName();
  const name = linkName({ config, transport: options.transport, token }, secret, env);
  const plan = async (): Promise<LinkPlan> => ({
    folder,
    name,
    token: await vault.accessToken(),
    config: { ...config },
    configDigest: configDigest(config, secret),
    transport: options.transport ?? null,
    idleMs: linkIdleMs(config),
    verbose: options.verbose,
    quiet: options.quiet,
    terminalColumns: stderr.isTty ? stderr.columns : null,
  });
  const link = await SharedLink.open({
    vault: config.name,
    verbose: options.verbose,
    connect: async () => {
      const frames = await connectLink(join(folder, name));
      if (frames !== undefined) return { frames, isNew: false };
      return startLink(folder, name, plan, context);
    },
    connectSocket: (socket) => connectLink(join(folder, socket)),
    reconnectMs: options.reconnectMs,
    clock: context,
    notice: (text) => void stderr.write(text).catch(() => undefined),
    ...(options.onState === undefined ? {} : { onState: options.onState }),
  });
  if (link.origin.kind === "reused" && options.verbose > 0 && !options.quiet)
    await stderr.write(reusedLines(link, config.org, context.wallMs()));
  return link;
}

/** What `-v` tells of a new link was told to another command. */
function reusedLines({ login }: AttestedLink, org: string, nowMs: number): string {
  const age = formatDuration(nowMs - login.machine.issuedAtMs);
  return `link: reused, attested ${age} ago\n${attestedLine(login.machine, org)}\n`;
}

/** Why this command dials by itself: loudly where somebody else may be at work. Rethrows what is no reason to. */
export async function tellOfOwnLink(
  error: unknown,
  { quiet, verbose }: Pick<SharingOptions, "quiet" | "verbose">,
  { stderr }: Context,
): Promise<void> {
  const isOwnDoing = error instanceof NoSharedLink || isSystemError(error);
  const isAlarming = error instanceof LinkFolderError || error instanceof PrivateFileError;
  if (!isOwnDoing && !isAlarming) throw error;
  if (quiet || (verbose < 1 && !isAlarming)) return;
  const kind = isAlarming ? "warning" : "note";
  await stderr.write(`${kind}: no background link: ${error.message}\n`);
}

/** A folder that cannot be made, a disk that is full: no reason not to work. */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}

function linkIdleMs({ link_idle: idle }: VaultConfig): number {
  return idle === undefined ? clientLimits.linkIdleMs : (parseDuration(idle) ?? 0);
}
