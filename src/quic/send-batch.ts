import { quicLimits } from "./limits.ts";

/**
 * Datagrams for one address, side by side in one buffer, all of the same size except the last:
 * what the kernel can cut up by itself (UDP_SEGMENT). Filled by the connection, sent by the carrier.
 */
export class SendBatch {
  /** On an ArrayBuffer of its own: the kernel is given its address. */
  readonly buffer = new Uint8Array(new ArrayBuffer(quicLimits.batchBytesMax));
  #slots: Uint8Array[] = [];
  #segmentBytes = 0;
  #count = 0;
  #totalBytes = 0;
  #host = "";
  #port = 0;

  get segmentBytes(): number {
    return this.#segmentBytes;
  }
  get count(): number {
    return this.#count;
  }
  get totalBytes(): number {
    return this.#totalBytes;
  }
  get host(): string {
    return this.#host;
  }
  get port(): number {
    return this.#port;
  }

  /** Where the next datagram is to be written. Only asked while `isFull` is false. */
  slot(datagramBytes: number): Uint8Array {
    if (this.#slots[0]?.byteLength !== datagramBytes) this.#cut(datagramBytes);
    const slot = this.#slots[this.#count];
    if (slot === undefined) throw new RangeError("The batch is full");
    return slot;
  }

  /**
   * Takes what was written into the slot. False when it does not belong to the batch (another
   * address): then the caller sends the batch, and loads the datagram into the empty one.
   */
  add(bytes: number, host: string, port: number): boolean {
    if (this.#count === 0) {
      this.#host = host;
      this.#port = port;
      this.#segmentBytes = bytes;
    } else if (port !== this.#port || host !== this.#host || bytes > this.#segmentBytes) {
      return false;
    }
    this.#count++;
    this.#totalBytes += bytes;
    return true;
  }

  /** True once a shorter datagram ended the batch, or there is no room for another. */
  get isFull(): boolean {
    if (this.#count === 0) return false;
    const slotBytes = this.#slots[0]?.byteLength ?? 0;
    const even = this.#totalBytes === this.#count * slotBytes;
    return !even || this.#count >= this.#slots.length;
  }

  /** A single datagram that does not come from a connection, or was wrapped. */
  load(datagram: Uint8Array, host: string, port: number): void {
    this.clear();
    this.buffer.set(datagram);
    this.add(datagram.byteLength, host, port);
  }

  datagram(index: number): Uint8Array {
    const start = index * this.#segmentBytes;
    return this.buffer.subarray(start, Math.min(start + this.#segmentBytes, this.#totalBytes));
  }

  clear(): void {
    this.#count = 0;
    this.#totalBytes = 0;
  }

  #cut(datagramBytes: number): void {
    const room = Math.floor(quicLimits.batchBytesMax / datagramBytes);
    const count = Math.min(quicLimits.segmentsMax, room);
    this.#slots = Array.from({ length: count }, (_, index) =>
      this.buffer.subarray(index * datagramBytes, (index + 1) * datagramBytes),
    );
  }
}
