import type { Context } from "../../../cli/context.ts";
import { cacheDirectory, stateDirectory } from "../../../cli/paths.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import { JwksCache } from "../../../fly/jwks.ts";
import { attestPolicy } from "./attest-policy.ts";
import type { Dialled } from "../dial/dial-attempt.ts";
import { KnownMachines } from "./known-machines.ts";
import { clientLimits } from "../limits.ts";
import { LoginFailure } from "../dial/login-failure.ts";
import {
  attestMachine,
  type LoginOptions,
  type PerformedLogin,
  performLogin,
} from "../dial/login.ts";
import { asFailure } from "../link/remote-failure.ts";
import type { VaultConfig } from "./vault-config.ts";
import type { TransportWish } from "../dial/transport.ts";
import { VaultDialler } from "../dial/vault-dialler.ts";

/** Looks at a vault one step at a time, each over a connection of its own. Rejects with `Failure`. */
export class VaultProbe {
  readonly #config: VaultConfig;
  readonly #context: Context;
  readonly #dialler: VaultDialler;
  readonly knownMachines: KnownMachines;

  constructor(config: VaultConfig, context: Context, transport?: TransportWish) {
    this.#config = config;
    this.#context = context;
    const options = { transport, verbose: 0, quiet: false };
    this.#dialler = new VaultDialler(config, options, context);
    this.knownMachines = new KnownMachines(stateDirectory(context.env));
  }

  /** How long until it answered; nothing of it is believed yet. */
  async answers(): Promise<number> {
    return this.#over(async (_dialled, dialMs) => dialMs);
  }

  /** Who answers, by Fly's word, whatever machine was there before. */
  async attest(): Promise<AttestedMachine> {
    return this.#over(async ({ connection }) => attestMachine(connection, this.#options()));
  }

  /** The whole login, and what is remembered of it. */
  async login(
    accessToken: string,
    more: Pick<LoginOptions, "trusting" | "onAttested"> = {},
    onAnswer?: (dialMs: number) => void,
  ): Promise<PerformedLogin> {
    return this.#over(async ({ connection }, dialMs) => {
      onAnswer?.(dialMs);
      return performLogin(connection, { ...this.#options(), ...more, accessToken });
    });
  }

  async #over<Result>(
    work: (dialled: Dialled, dialMs: number) => Promise<Result>,
  ): Promise<Result> {
    const { monotonicMs } = this.#context;
    const firstMs = monotonicMs();
    for (;;) {
      const startedMs = monotonicMs();
      try {
        const dialled = await this.#dialler.dial();
        try {
          return await work(dialled, monotonicMs() - startedMs);
        } finally {
          await dialled.endpoint.close();
        }
      } catch (error) {
        const pauseMs = busyMs(error);
        if (pauseMs === undefined || monotonicMs() - firstMs + pauseMs > clientLimits.loginRetryMs)
          throw asFailure(error, this.#config.name);
        await Bun.sleep(pauseMs);
      }
    }
  }

  #options(): Omit<LoginOptions, "accessToken"> {
    const { env, monotonicMs, wallMs, randomBytes } = this.#context;
    return {
      vault: attestPolicy(this.#config),
      jwks: new JwksCache({ cacheDir: cacheDirectory(env), wallMs, warn: () => undefined }),
      knownMachines: this.knownMachines,
      monotonicMs,
      wallMs,
      randomBytes,
    };
  }
}

/** Fly gives a machine about one piece of evidence a second, and we ask for two in a row. */
function busyMs(error: unknown): number | undefined {
  if (!(error instanceof LoginFailure) || error.code !== "FV-NET-004") return undefined;
  return error.retryAfterMs ?? 1000;
}
