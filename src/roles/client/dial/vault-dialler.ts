import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import type { ClientGateOptions } from "../../../quic/admission-gate.ts";
import { type Address, parseAddress, showAddress } from "../vault/address.ts";
import { dial } from "./dial.ts";
import type { Dialled } from "./dial-attempt.ts";
import { NetworkChanged } from "./path-notices.ts";
import { StartProgress } from "./start-progress.ts";
import {
  defaultWebAddress,
  parseWebAddress,
  planTransports,
  type TransportFacts,
  type TransportWish,
} from "./transport.ts";
import { networkKey, ownAddresses, TransportMemory } from "./transport-memory.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import { readAdmissionKey } from "../vault/vault-schema.ts";

export interface VaultDiallerOptions {
  readonly transport: TransportWish | undefined;
  readonly verbose: number;
  readonly quiet: boolean;
}

/**
 * Dials one vault, again and again over the life of a command: knows which transport is worth trying
 * in this network, and tells what there is to tell the first time, before a remote screen is shown.
 */
export class VaultDialler {
  readonly #config: VaultConfig;
  readonly #options: VaultDiallerOptions;
  readonly #context: Context;
  readonly #address: Address;
  readonly #webUrl: string | undefined;
  readonly #memory: TransportMemory;
  #hasLoggedIn = false;
  #resolveMs = 0;

  /** Throws `Failure` where the transport that is asked for cannot be had. */
  constructor(config: VaultConfig, options: VaultDiallerOptions, context: Context) {
    const address = parseAddress(config.address);
    if (address === undefined) throw new RangeError("The schema checked the address");
    this.#config = config;
    this.#options = options;
    this.#context = context;
    this.#address = address;
    this.#webUrl =
      config.web_address === undefined
        ? defaultWebAddress(address)
        : parseWebAddress(config.web_address);
    this.#memory = new TransportMemory(stateDirectory(context.env));
    if (this.#wish === "tcp") this.#checkWeb();
  }

  /** From now on a remote screen may be shown, and nothing is told any more. */
  noteLogin(): void {
    this.#hasLoggedIn = true;
  }

  /** What the last dialling spent on names. */
  get resolveMs(): number {
    return this.#resolveMs;
  }

  /** Rejects with `Failure`. */
  async dial(): Promise<Dialled> {
    const { monotonicMs, wallMs } = this.#context;
    const progress = this.#hasLoggedIn
      ? undefined
      : new StartProgress(this.#context, this.#options);
    const network = networkKey(ownAddresses(), this.#config.address);
    const udp = this.#isRace ? await this.#memory.recall(network, wallMs()) : "unknown";
    try {
      const { dialled, answered, resolveMs } = await dial({
        vault: this.#config.name,
        address: this.#address,
        webUrl: this.#webUrl,
        plan: planTransports({ wish: this.#wish, isWebPossible: this.#isWebPossible, udp }),
        admission: this.#admission(progress),
        nowMs: monotonicMs,
      });
      this.#resolveMs = resolveMs;
      await progress?.end(true);
      if (this.#isRace) await this.#remember(udp, network, answered.has("quic"));
      return dialled.transport === "tcp" ? inOneNetwork(dialled, network, this.#config) : dialled;
    } catch (error) {
      await progress?.end(false);
      throw error;
    }
  }

  get #wish(): TransportWish {
    return this.#options.transport ?? this.#config.transport ?? "auto";
  }

  get #isWebPossible(): boolean {
    return this.#config.admission_key !== undefined && this.#webUrl !== undefined;
  }

  get #isRace(): boolean {
    return this.#wish === "auto" && this.#isWebPossible;
  }

  /** What the dialling has shown about UDP, if it was tried. */
  async #remember(udp: TransportFacts["udp"], network: string, isAnswered: boolean): Promise<void> {
    const nowMs = this.#context.wallMs();
    if (isAnswered) {
      if (udp !== "unknown") await this.#memory.forget(network, nowMs);
    } else if (udp !== "blocked" && (await this.#memory.noteBlocked(network, nowMs))) {
      this.#say(
        `note: UDP to ${showAddress(this.#address)} is blocked here, using TLS over TCP (slower). --transport quic insists on UDP.`,
      );
    }
  }

  #admission(progress: StartProgress | undefined): ClientGateOptions | undefined {
    const { wallMs, randomBytes } = this.#context;
    const key = readAdmissionKey(this.#config.admission_key ?? "");
    return key && { key, wallMs, randomBytes, onHint: (hint) => progress?.receive(hint) };
  }

  #checkWeb(): void {
    const { name, path, admission_key } = this.#config;
    const missing = admission_key === undefined ? "admission_key" : "web_address";
    if (this.#isWebPossible) return;
    throw new Failure("FV-CFG-006", `${path}: "${missing}" of "${name}" is missing`, {
      because:
        missing === "admission_key"
          ? "over TCP a vault is reached by its proxy alone, which asks for the key"
          : "no certificate can be for an address without a name, so it is not guessed",
      fix: "fly-vault help config  explains every key",
    });
  }

  #say(line: string): void {
    if (this.#options.quiet || this.#hasLoggedIn) return;
    this.#context.stderr.write(`${line}\n`).catch(() => undefined);
  }
}

/**
 * In another network UDP may work: there the vault is dialled anew rather than followed by a new
 * WebSocket.
 */
function inOneNetwork(dialled: Dialled, network: string, { address }: VaultConfig): Dialled {
  const { endpoint } = dialled;
  const rebind = async (): Promise<void> => {
    if (networkKey(ownAddresses(), address) !== network)
      throw new NetworkChanged("Other addresses than at the start");
    await endpoint.rebind();
  };
  return { ...dialled, endpoint: { rebind, close: (goodbye) => endpoint.close(goodbye) } };
}
