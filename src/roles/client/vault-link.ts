import type { Flags, GlobalOptions } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { parseDuration } from "../../cli/duration.ts";
import { cacheDirectory, stateDirectory } from "../../cli/paths.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { AttestedMachine } from "../../fly/attestation.ts";
import { JwksCache } from "../../fly/jwks.ts";
import type { Status } from "../../protocol/message.ts";
import { readAccessToken } from "./access-token.ts";
import { attestPolicy } from "./attest-policy.ts";
import { KnownMachines } from "./known-machines.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { Link, type OpenedConnection } from "./link.ts";
import { type LoginOptions, performLogin } from "./login.ts";
import { type TransportWish, transportWishes } from "./transport.ts";
import { loadChosenVault } from "./vault-choice.ts";
import type { VaultConfig } from "./vault-config.ts";
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

/** The vault a command is about: left out where the environment says which. */
export const vaultPositional = { name: "VAULT", optional: true } as const;

/** As the parser gives them. */
export type LinkFlagValues = { readonly [K in keyof typeof linkFlags]: string | undefined };

export interface VaultLinkOptions {
  readonly reconnectMs: number | undefined;
  readonly transport: TransportWish | undefined;
  readonly verbose: number;
  readonly quiet: boolean;
  readonly onState?: (state: LinkState) => void;
}

export interface Vault {
  readonly config: VaultConfig;
  /** Looks it up the first time it is needed: a command that finds a link standing needs none. */
  readonly accessToken: () => Promise<string>;
}

/** Reads the configuration; nothing is sent. Warnings go to stderr. */
export async function readVault(
  said: string | undefined,
  { flags, global }: { readonly flags: LinkFlagValues; readonly global: GlobalOptions },
  context: Context,
): Promise<Vault> {
  // A mistake in the words comes before one in a file.
  reconnectMsOf(flags.reconnect);
  const { vault: config, warnings } = await loadChosenVault(said, { flags, global }, context);
  const warn = async (lines: readonly string[]): Promise<void> => {
    if (global.quiet) return;
    for (const line of lines) await context.stderr.write(`warning: ${line}\n`);
  };
  await warn(warnings);
  const read = async (): Promise<string> => {
    const access = await readAccessToken(config, context, flags["token-file"]);
    // A script cannot do anything about a weak token; a person at a terminal can.
    if (context.stderr.isTty) await warn(access.warnings);
    return access.token;
  };
  let reading: Promise<string> | undefined;
  return { config, accessToken: async () => (reading ??= read()) };
}

export async function openLink(
  vault: Vault,
  options: VaultLinkOptions,
  context: Context,
): Promise<AttestedLink> {
  // Before anything is sent: a token that is missing is no reason to wake a machine.
  const opener = new Opener(vault.config, await vault.accessToken(), options, context);
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
  readonly #config: VaultConfig;
  readonly #token: string;
  readonly #options: VaultLinkOptions;
  readonly #context: Context;
  readonly #dialler: VaultDialler;
  readonly #jwks: JwksCache;

  constructor(config: VaultConfig, token: string, options: VaultLinkOptions, context: Context) {
    this.#config = config;
    this.#token = token;
    this.#options = options;
    this.#context = context;
    this.#dialler = new VaultDialler(config, options, context);
    this.#jwks = new JwksCache({
      cacheDir: cacheDirectory(context.env),
      wallMs: context.wallMs,
      warn: (message) => this.#say(1, `warning: ${message}`),
    });
  }

  async open(): Promise<OpenedConnection> {
    const { org } = this.#config;
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
    const config = this.#config;
    const { env, monotonicMs, wallMs, randomBytes } = this.#context;
    return {
      vault: attestPolicy(config),
      accessToken: this.#token,
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
