import { type HintState, sealHint } from "../../../quic/admission-hint.ts";
import type { HintAnswer, Output } from "../decision.ts";
import type { KeyRing } from "./key-ring.ts";
import { proxyLimits } from "../limits.ts";
import { Spacing } from "./spacing.ts";
import type { Tally } from "./tally.ts";

/** Whom a hint is for: somebody who had the machine's key. */
export interface HintReceiver {
  readonly epoch: number;
  readonly machineId: string;
  /** Of the admission that is answered; its first bytes count. */
  readonly tag: Uint8Array;
}

/** Makes hints, one a second for each machine at the most. */
export class HintDesk {
  readonly #keys: KeyRing;
  readonly #tally: Tally;
  readonly #spacing = new Spacing<string>(proxyLimits.hintEveryMs, proxyLimits.hintedMachinesMax);
  #waiting: Output["hints"][number][] = [];

  constructor(keys: KeyRing, tally: Tally) {
    this.#keys = keys;
    this.#tally = tally;
  }

  /** Null for not now. Both clocks are in milliseconds. */
  answer(
    state: HintState,
    receiver: HintReceiver,
    monotonicMs: number,
    wallMs: number,
  ): HintAnswer | null {
    const isDue = this.#spacing.take(receiver.machineId, monotonicMs);
    return isDue ? this.#seal(state, receiver, wallMs) : null;
  }

  /** To go out besides whatever is decided now. */
  post(source: Output["hints"][number]["source"], hint: HintAnswer | null): void {
    if (hint !== null) this.#waiting.push({ source, bytes: hint.bytes });
  }

  /** Once for each of a proxy's flows, so not counted against the one a second. */
  farewell(receiver: Omit<HintReceiver, "tag">, wallMs: number): HintAnswer | null {
    return this.#seal("draining", { ...receiver, tag: noTag }, wallMs);
  }

  takeWaiting(): Output["hints"] {
    const waiting = this.#waiting;
    if (waiting.length > 0) this.#waiting = [];
    return waiting;
  }

  #seal(
    state: HintState,
    { epoch, machineId, tag: tagStart }: HintReceiver,
    wallMs: number,
  ): HintAnswer | null {
    const key = this.#keys.admissionKey(epoch, machineId);
    if (key === undefined) return null;
    this.#tally.hints[state]++;
    const timeS = Math.floor(wallMs / 1000);
    return { kind: "hint", bytes: sealHint({ key }, { state, timeS, tagStart }) };
  }
}

const noTag = new Uint8Array(8);
