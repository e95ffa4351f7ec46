import { quicLimits } from "./limits.ts";

/**
 * The tags that were let in lately. Full, it forgets the oldest: of the machine itself first, so that
 * nobody with the key of one can make it forget those of another.
 */
export class ReplaySet {
  /** In the order they came. */
  readonly #seen = new Map<string, { readonly machineId: string; readonly untilMs: number }>();
  readonly #byMachine = new Map<string, Set<string>>();

  get size(): number {
    return this.#seen.size;
  }

  /** False when this tag was there before. */
  add(machineId: string, tag: Uint8Array, nowMs: number): boolean {
    this.#expire(nowMs);
    const key = `${machineId}${Buffer.from(tag).toString("latin1")}`;
    if (this.#seen.has(key)) return false;
    const ofMachine = this.#byMachine.get(machineId) ?? new Set();
    this.#byMachine.set(machineId, ofMachine);
    if (ofMachine.size >= quicLimits.replaysPerMachineMax) this.#forgetFirst(ofMachine);
    ofMachine.add(key);
    this.#seen.set(key, { machineId, untilMs: nowMs + 2 * 1000 * quicLimits.admissionClockS });
    if (this.#seen.size > quicLimits.replaysMax) this.#forgetFirst(this.#seen);
    return true;
  }

  #expire(nowMs: number): void {
    for (const [key, { untilMs }] of this.#seen) {
      if (untilMs >= nowMs) return;
      this.#forget(key);
    }
  }

  #forgetFirst(among: Set<string> | Map<string, unknown>): void {
    for (const key of among.keys()) {
      this.#forget(key);
      return;
    }
  }

  #forget(key: string): void {
    const machineId = this.#seen.get(key)?.machineId ?? "";
    this.#seen.delete(key);
    const ofMachine = this.#byMachine.get(machineId);
    ofMachine?.delete(key);
    if (ofMachine?.size === 0) this.#byMachine.delete(machineId);
  }
}
