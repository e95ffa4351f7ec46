import type { LoginServerCause } from "../../protocol/login-server.ts";
import type { Status } from "../../protocol/message.ts";
import type { MachineName, ProofKeys } from "../../protocol/transcript.ts";
import type { Log } from "../../system/log.ts";
import { MintBudget } from "./login-budget.ts";
import { loginLimits } from "./login-limits.ts";

export type LoginCause =
  | LoginServerCause
  | "crowded"
  | "busy"
  | "attestation-unavailable"
  | "connection-lost"
  | "not-ready"
  | "internal";

export interface LoginGateOptions {
  readonly machine: MachineName;
  readonly keys: ProofKeys;
  /** Asks Fly for evidence: `mintEvidence` of src/fly/evidence.ts. Rejects with `MintError`. */
  readonly mint: (audience: string) => Promise<Uint8Array>;
  /** What ACCEPT tells the client of this machine; asked for once the client has proved itself. */
  readonly status: () => Status | Promise<Status>;
  readonly monotonicMs: () => number;
  readonly randomBytes: (length: number) => Uint8Array;
  readonly log: Log;
}

/** What all logins of one machine share: budgets, counts and one line of log a second. Never evidence. */
export class LoginGate {
  readonly options: LoginGateOptions;
  readonly budget: MintBudget;
  readonly #refused = new Map<LoginCause, number>();
  #accepted = 0;
  #pending = 0;
  #refusals = 0;
  #loggedMs = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  constructor(options: LoginGateOptions) {
    this.options = options;
    this.budget = new MintBudget(options.monotonicMs);
  }

  /** How logins ended so far. */
  counts(): { readonly accepted: number; readonly refused: Readonly<Record<string, number>> } {
    return { accepted: this.#accepted, refused: Object.fromEntries(this.#refused) };
  }

  /** False when too many are at it; else `leave` has to follow. */
  enter(): boolean {
    if (this.#pending >= loginLimits.pendingMax) return false;
    this.#pending += 1;
    return true;
  }

  leave(): void {
    this.#pending -= 1;
  }

  countAccepted(): void {
    this.#accepted += 1;
  }

  countRefused(cause: LoginCause, message: string, source: string): void {
    this.#refused.set(cause, (this.#refused.get(cause) ?? 0) + 1);
    const now = this.options.monotonicMs();
    if (now - this.#loggedMs < loginLimits.logEveryMs) {
      this.#suppressed += 1;
      return;
    }
    const level = cause === "internal" ? "error" : "warn";
    const suppressed = this.#suppressed;
    this.options.log(level, "login-refused", { cause, message, source, suppressed });
    this.#loggedMs = now;
    this.#suppressed = 0;
  }

  /**
   * Waits for the end of the slot that began at `startMs`, so that the time of a refusal says
   * nothing. When too many wait already, the answer comes at once: it still says no more than no.
   */
  async padRefusal(startMs: number): Promise<void> {
    if (this.#refusals >= loginLimits.refusalsMax) return;
    const restMs = startMs + loginLimits.refusalSlotMs - this.options.monotonicMs();
    this.#refusals += 1;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, restMs)));
    this.#refusals -= 1;
  }
}
