import type { RelayRecord } from "../broker-record.ts";
import { proxyLimits } from "../limits.ts";
import { Machine } from "./machine.ts";
import { Spacing } from "./spacing.ts";

/** The machines that datagrams may go to, as the broker last saw them. */
export class Directory {
  readonly #machines = new Map<string, Machine>();
  readonly #gone = new Spacing<string>(proxyLimits.goneMs, proxyLimits.goneMachinesMax);
  readonly #bitsPerSecond: number;
  #cut = 0;

  constructor(bitsPerSecond: number) {
    this.#bitsPerSecond = bitsPerSecond;
  }

  get size(): number {
    return this.#machines.size;
  }
  /** Records of machines that there was no room for. */
  get cut(): number {
    return this.#cut;
  }

  find(machineId: string): Machine | undefined {
    return this.#machines.get(machineId);
  }

  /** Whether the broker said lately that there is none. */
  isGone(machineId: string, nowMs: number): boolean {
    return this.#gone.has(machineId, nowMs);
  }

  /** The machine as it is now; undefined where there are too many. */
  set(record: Extract<RelayRecord, { kind: "machine" }>): Machine | undefined {
    const { machineId, state, address } = record;
    let machine = this.#machines.get(machineId);
    if (machine === undefined) {
      if (this.#machines.size >= proxyLimits.machinesMax) {
        this.#cut++;
        return undefined;
      }
      machine = new Machine(machineId, this.#bitsPerSecond);
      this.#machines.set(machineId, machine);
    }
    machine.state = state;
    machine.address = address;
    this.#gone.forget(machineId);
    return machine;
  }

  remove(machineId: string, nowMs: number): void {
    this.#machines.delete(machineId);
    this.#gone.take(machineId, nowMs);
  }
}
