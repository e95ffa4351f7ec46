import { proxyLimits } from "../limits.ts";
import type { Source } from "../source.ts";

/** An admission that waits for its machine. */
export interface HeldDatagram {
  readonly source: Source;
  readonly epoch: number;
  readonly datagram: Uint8Array;
  readonly sinceMs: number;
}

/** What waits for machines to start, by machine. */
export class HeldDatagrams {
  readonly #byMachine = new Map<string, HeldDatagram[]>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }
  machineIds(): readonly string[] {
    return [...this.#byMachine.keys()];
  }

  /** Copies it, or says false: there is no room. */
  hold(machineId: string, { source, epoch, datagram, sinceMs }: HeldDatagram): boolean {
    const held = this.#byMachine.get(machineId) ?? [];
    const bytes = held.reduce((sum, each) => sum + each.datagram.byteLength, datagram.byteLength);
    if (held.length >= proxyLimits.heldDatagramsPerMachineMax) return false;
    if (bytes > proxyLimits.heldBytesPerMachineMax) return false;
    if (this.#bytes + datagram.byteLength > proxyLimits.heldBytesMax) return false;
    // Not by `slice`, which of a Buffer is a view.
    held.push({ source, epoch, datagram: new Uint8Array(datagram), sinceMs });
    this.#byMachine.set(machineId, held);
    this.#bytes += datagram.byteLength;
    return true;
  }

  of(machineId: string): readonly HeldDatagram[] {
    return this.#byMachine.get(machineId) ?? [];
  }

  /** All that wait for this machine, the oldest first; they wait no longer. */
  take(machineId: string): readonly HeldDatagram[] {
    const held = this.of(machineId);
    this.#byMachine.delete(machineId);
    for (const { datagram } of held) this.#bytes -= datagram.byteLength;
    return held;
  }

  /** How many had waited long enough. */
  expire(nowMs: number): number {
    let expired = 0;
    for (const [machineId, held] of this.#byMachine) {
      const isOver = ({ sinceMs }: HeldDatagram): boolean => nowMs - sinceMs >= proxyLimits.heldMs;
      if (!held.some(isOver)) continue;
      for (const each of this.take(machineId)) {
        if (isOver(each)) expired++;
        else this.hold(machineId, each);
      }
    }
    return expired;
  }
}
