import type { SendTarget } from "../../../system/send-vector.ts";
import type { RelayCounters } from "../relay-counters.ts";
import { SendVector } from "../../../system/send-vector.ts";

/** One socket towards clients, or the web process that stands for some, and what is about to leave by it. */
export class ClientWay {
  readonly descriptor: number;
  readonly #vector: SendVector;
  readonly #counters: RelayCounters;

  constructor(descriptor: number, counters: RelayCounters) {
    this.descriptor = descriptor;
    this.#counters = counters;
    this.#vector = new SendVector((errno, datagrams) => counters.sendFailed(errno, datagrams));
  }

  /** The memory is to stay as it is until `flush`. */
  send(target: SendTarget, address: number, bytes: number, segmentBytes: number): void {
    if (target.prefixBytes === 0) {
      this.#add(target, address, bytes, segmentBytes);
      return;
    }
    for (let offset = 0; offset < bytes; offset += segmentBytes) {
      const length = Math.min(segmentBytes, bytes - offset);
      this.#add(target, address + offset, length, length);
    }
  }

  /** A socket that is full loses them: the client's own congestion control notices, and nobody else waits. */
  flush(): void {
    if (this.#vector.isEmpty || this.#vector.flush(this.descriptor)) return;
    this.#vector.eachUnsent(() => this.#counters.drop("client-blocked"));
  }

  #add(target: SendTarget, address: number, bytes: number, segmentBytes: number): void {
    if (this.#vector.add(target, address, bytes, segmentBytes)) return;
    this.flush();
    this.#vector.add(target, address, bytes, segmentBytes);
  }
}
