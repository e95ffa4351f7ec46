import type { DatagramCarrier } from "./carrier.ts";
import { quicLimits } from "./limits.ts";

/**
 * The socket that a new one replaced, for a while. The peer knows its address, and answers there without a
 * challenge; so where the line was only dark, a question by it is a round trip shorter.
 */
export class FormerCarrier {
  #carrier: DatagramCarrier | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  get carrier(): DatagramCarrier | undefined {
    return this.#carrier;
  }

  /** Takes over one that is not used any more. */
  keep(carrier: DatagramCarrier | undefined): void {
    this.close();
    if (carrier?.mayLinger !== true) {
      carrier?.close();
      return;
    }
    this.#carrier = carrier;
    this.#timer = setTimeout(() => this.close(), quicLimits.formerSocketMs);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#carrier?.close();
    this.#carrier = undefined;
  }
}
