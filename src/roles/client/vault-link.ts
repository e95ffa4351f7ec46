import type { Flags } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { parseDuration } from "../../cli/duration.ts";
import { cacheDirectory, stateDirectory } from "../../cli/paths.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { AttestedMachine } from "../../fly/attestation.ts";
import { JwksCache } from "../../fly/jwks.ts";
import type { Status } from "../../protocol/message.ts";
import { readAccessToken } from "./access-token.ts";
import { KnownMachines } from "./known-machines.ts";
import { Link, type LinkOptions, type OpenedConnection } from "./link.ts";
import { type LoginOptions, performLogin } from "./login.ts";
import { type TransportWish, transportWishes } from "./transport.ts";
import { loadVault, type VaultConfig } from "./vault-config.ts";
import { VaultDialler } from "./vault-dialler.ts";

/** Flags of every command that talks to a vault. */
export const linkFlags = {
  "token-file": { value: "FILE", summary: 'read the access token from here ("-": standard input)' },
  reconnect: { value: "DURATION", summary: "how long to wait for a lost link" },
  transport: {
    value: "KIND",
    choices: transportWishes,
    summary: "UDP, TLS over TCP (through a proxy alone), or whichever answers (default auto)",
  },
} as const satisfies Flags;

export interface VaultLinkOptions {
  readonly tokenFile: string | undefined;
  readonly reconnectMs: number | undefined;
  readonly transport: TransportWish | undefined;
  readonly verbose: number;
  readonly quiet: boolean;
  readonly onState?: NonNullable<LinkOptions["onState"]>;
}

export interface Vault {
  readonly config: VaultConfig;
  readonly token: string;
}

/** Reads configuration and token; nothing is sent. Warnings go to stderr. */
export async function readVault(
  name: string,
  options: Pick<VaultLinkOptions, "tokenFile" | "quiet">,
  context: Context,
): Promise<Vault> {
  const { vault: config, warnings } = loadVault(name, context.env);
  const access = await readAccessToken(config, context, options.tokenFile);
  // A script cannot do anything about a weak token; a person at a terminal can.
  const shown = context.stderr.isTty ? [...warnings, ...access.warnings] : warnings;
  if (!options.quiet)
    for (const warning of shown) await context.stderr.write(`warning: ${warning}\n`);
  return { config, token: access.token };
}

export async function openLink(
  vault: Vault,
  options: VaultLinkOptions,
  context: Context,
): Promise<Link> {
  const opener = new Opener(vault, options, context);
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

class Opener {
  readonly #vault: Vault;
  readonly #options: VaultLinkOptions;
  readonly #context: Context;
  readonly #dialler: VaultDialler;
  readonly #jwks: JwksCache;

  constructor(vault: Vault, options: VaultLinkOptions, context: Context) {
    this.#vault = vault;
    this.#options = options;
    this.#context = context;
    this.#dialler = new VaultDialler(vault.config, options, context);
    this.#jwks = new JwksCache({
      cacheDir: cacheDirectory(context.env),
      wallMs: context.wallMs,
      warn: (message) => this.#say(1, `warning: ${message}`),
    });
  }

  async open(): Promise<OpenedConnection> {
    const { org } = this.#vault.config;
    const startedMs = this.#context.monotonicMs();
    const { endpoint, connection, transport, notices } = await this.#dialler.dial();
    const dialledMs = this.#context.monotonicMs();
    try {
      const login = await performLogin(connection, this.#loginOptions());
      const doneMs = this.#context.monotonicMs();
      this.#say(1, attestedLine(login.machine, org));
      this.#say(
        1,
        `connected: ${transport === "tcp" ? "quic over TCP" : "quic"} ${round(dialledMs - startedMs)} ms, attestation and login ${round(doneMs - dialledMs)} ms`,
      );
      this.#say(1, versionLine(login.status));
      this.#dialler.noteLogin();
      return { endpoint, connection, login, notices };
    } catch (error) {
      await endpoint.close();
      throw error;
    }
  }

  #loginOptions(): LoginOptions {
    const { config, token } = this.#vault;
    const { env, monotonicMs, wallMs, randomBytes } = this.#context;
    return {
      vault: {
        name: config.name,
        org: config.org,
        app: config.app,
        machineId: config.machine_id,
        issuer: config.issuer,
      },
      accessToken: token,
      jwks: this.#jwks,
      knownMachines: new KnownMachines(stateDirectory(env)),
      onFirstUse: (machine) =>
        this.#say(
          0,
          `first use of "${config.name}": machine ${machine.machineId} is remembered, another one will be refused`,
        ),
      monotonicMs,
      wallMs,
      randomBytes,
    };
  }

  #say(level: number, line: string): void {
    if (this.#options.quiet || this.#options.verbose < level) return;
    this.#context.stderr.write(`${line}\n`).catch(() => undefined);
  }
}

/**
 * What was proven, in words. Everything in it was signed by the issuer, but only org, app and machine
 * were compared; nothing in it may move a terminal's cursor.
 */
function attestedLine(machine: AttestedMachine, org: string): string {
  const { issuer, appName, machineId, region, image, imageDigest } = machine;
  const facts = [`org ${org}`, `app ${appName}`, `machine ${machineId}`];
  if (region !== undefined) facts.push(`region ${region}`);
  const digest = imageDigest === undefined ? "" : `@${imageDigest}`;
  if (image !== undefined || digest !== "") facts.push(`image ${image ?? ""}${digest}`);
  const words = `attested by ${issuer}: ${facts.join(", ")}; bound to this TLS channel`;
  return printable(words);
}

/** The link may be newer than the init that started it. */
function versionLine({ init_version, link_version }: Status): string {
  const link = link_version === undefined ? "" : `, link ${link_version}`;
  return printable(`machine: init ${init_version}${link}`);
}

function printable(words: string): string {
  return words.replaceAll(/\p{C}/gu, "?");
}

function round(ms: number): number {
  return Math.round(ms);
}
