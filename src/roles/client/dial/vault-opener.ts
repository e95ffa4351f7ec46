import type { Context } from "../../../cli/context.ts";
import { cacheDirectory, stateDirectory } from "../../../cli/paths.ts";
import { JwksCache } from "../../../fly/jwks.ts";
import { attestPolicy } from "../vault/attest-policy.ts";
import { attestedLine, versionLine } from "./attested-line.ts";
import { KnownMachines } from "../vault/known-machines.ts";
import type { OpenedConnection } from "../link/link.ts";
import { type LoginOptions, performLogin } from "./login.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { VaultDialler, type VaultDiallerOptions } from "./vault-dialler.ts";

/** Dials one vault and logs in, again and again; says on stderr what there is to say. */
export class VaultOpener {
  readonly #config: VaultConfig;
  readonly #token: string;
  readonly #options: VaultDiallerOptions;
  readonly #context: Context;
  readonly #dialler: VaultDialler;
  readonly #jwks: JwksCache;

  /** Throws `Failure` where the transport that is asked for cannot be had. */
  constructor(config: VaultConfig, token: string, options: VaultDiallerOptions, context: Context) {
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

  /** Rejects with `Failure`. */
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
      const dnsMs = this.#dialler.resolveMs;
      const { attestMs, authMs } = login;
      const phases = { dnsMs, quicMs: dialledMs - startedMs - dnsMs, attestMs, authMs };
      return { endpoint, connection, login, notices, phases };
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
    this.#context.log?.note("link", { line });
    if (this.#options.quiet || this.#options.verbose < level) return;
    this.#context.stderr.write(`${line}\n`).catch(() => undefined);
  }
}

function round(ms: number): number {
  return Math.round(ms);
}
