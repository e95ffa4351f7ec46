import { connectedPeer, type SendVector } from "../../../system/send-vector.ts";
import type { Upstream } from "./client.ts";

/**
 * Datagrams on their way to machines, put together by flow: those of one flow leave in one system call,
 * however many others came in between, and in their order.
 */
export class Departures {
  readonly #addresses = new Float64Array(departuresMax);
  readonly #bytes = new Uint32Array(departuresMax);
  readonly #next = new Int32Array(departuresMax);
  #count = 0;
  readonly #flows: Upstream[] = [];

  get isFull(): boolean {
    return this.#count === departuresMax;
  }

  /** Not when it is full. The memory is to stay as it is until `flush`. */
  add(upstream: Upstream, address: number, bytes: number): void {
    const index = this.#count++;
    this.#addresses[index] = address;
    this.#bytes[index] = bytes;
    this.#next[index] = -1;
    if (upstream.lastDeparture === -1) {
      upstream.firstDeparture = index;
      this.#flows.push(upstream);
    } else {
      this.#next[upstream.lastDeparture] = index;
    }
    upstream.lastDeparture = index;
  }

  /** `blocked` takes from the vector what the socket would not. */
  flush(vector: SendVector, blocked: (upstream: Upstream) => void): void {
    for (const upstream of this.#flows) {
      for (let at = upstream.firstDeparture; at !== -1; at = this.#next[at] ?? -1) {
        const [address, bytes] = [this.#addresses[at] ?? 0, this.#bytes[at] ?? 0];
        if (vector.add(connectedPeer, address, bytes, bytes)) continue;
        if (!vector.flush(upstream.descriptor)) blocked(upstream);
        vector.add(connectedPeer, address, bytes, bytes);
      }
      upstream.firstDeparture = -1;
      upstream.lastDeparture = -1;
      if (!vector.flush(upstream.descriptor)) blocked(upstream);
    }
    this.#flows.length = 0;
    this.#count = 0;
  }
}

const departuresMax = 4096;
