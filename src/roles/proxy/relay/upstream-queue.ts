import { proxyLimits } from "../limits.ts";

/** Bytes in all queues together. */
export interface QueuedBytes {
  total: number;
}

/** Datagrams that a full socket would not take, copied. What does not fit drives out the oldest. */
export class UpstreamQueue {
  readonly #datagrams: Uint8Array<ArrayBuffer>[] = [];
  readonly #queued: QueuedBytes;

  constructor(queued: QueuedBytes) {
    this.#queued = queued;
  }

  get length(): number {
    return this.#datagrams.length;
  }

  get first(): Uint8Array<ArrayBuffer> | undefined {
    return this.#datagrams[0];
  }

  /** Gives how many were lost by it. */
  push(datagram: Uint8Array<ArrayBuffer>): number {
    if (this.#queued.total + datagram.byteLength > proxyLimits.upstreamQueuesBytesMax) return 1;
    this.#datagrams.push(datagram);
    this.#queued.total += datagram.byteLength;
    if (this.#datagrams.length <= proxyLimits.upstreamQueueMax) return 0;
    this.shift();
    return 1;
  }

  shift(): void {
    this.#queued.total -= this.#datagrams.shift()?.byteLength ?? 0;
  }

  clear(): void {
    while (this.length > 0) this.shift();
  }
}
