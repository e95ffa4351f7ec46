/** What one direction of a line does to packets. */
export interface LinkWeather {
  readonly delayMs: number;
  /** From 0 to 1. */
  readonly loss: number;
  /** A slow part with a queue before it, as a modem is; what finds the queue full is lost. */
  readonly bottleneck?: { readonly bytesPerMs: number; readonly queueMs: number };
}

/**
 * One direction of a line, without the packets themselves: those stay where the caller has read them to,
 * in slots that are used in turn. Comes a packet when all slots are taken, it is lost, as in a router.
 */
export class LinkQueue {
  readonly slots: number;
  readonly counts = { passed: 0, lost: 0, overflowed: 0 };
  readonly #random: () => number;
  readonly #dueMs: Float64Array;
  readonly #bytes: Uint16Array;
  #first = 0;
  #length = 0;
  #weather: LinkWeather = { delayMs: 0, loss: 0 };
  #darkUntilMs = 0;
  /** When the bottleneck has sent what waits for it. */
  #freeAtMs = 0;

  constructor(slots: number, random: () => number) {
    this.slots = slots;
    this.#random = random;
    this.#dueMs = new Float64Array(slots);
    this.#bytes = new Uint16Array(slots);
  }

  set(weather: LinkWeather): void {
    this.#weather = weather;
  }

  /** What comes in before that time is lost. */
  darken(untilMs: number): void {
    this.#darkUntilMs = untilMs;
  }

  /** Where the next packet is to be read to: one slot is always free. */
  get freeSlot(): number {
    return (this.#first + this.#length) % this.slots;
  }

  /** The packet in the free slot: tells whether it is on its way or lost. */
  accept(bytes: number, nowMs: number): boolean {
    if (nowMs < this.#darkUntilMs || this.#random() < this.#weather.loss) {
      this.counts.lost++;
      return false;
    }
    const throughMs = this.#throughMs(bytes, nowMs);
    if (this.#length === this.slots - 1 || throughMs === undefined) {
      this.counts.overflowed++;
      return false;
    }
    const slot = this.freeSlot;
    this.#dueMs[slot] = throughMs + this.#weather.delayMs;
    this.#bytes[slot] = bytes;
    this.#length++;
    return true;
  }

  /** How long until the next one is due: 0 when it is, infinite when there is none. */
  waitMs(nowMs: number): number {
    if (this.#length === 0) return Number.POSITIVE_INFINITY;
    return Math.max(0, (this.#dueMs[this.#first] ?? 0) - nowMs);
  }

  /** The slot of the packet that is due, to be taken out with `leave`. None overtakes another. */
  dueSlot(nowMs: number): number | undefined {
    return this.waitMs(nowMs) > 0 ? undefined : this.#first;
  }

  /** When it is through the bottleneck; undefined where the queue is full. */
  #throughMs(bytes: number, nowMs: number): number | undefined {
    const { bottleneck } = this.#weather;
    if (bottleneck === undefined) return nowMs;
    const startMs = Math.max(nowMs, this.#freeAtMs);
    if (startMs - nowMs > bottleneck.queueMs) return undefined;
    this.#freeAtMs = startMs + bytes / bottleneck.bytesPerMs;
    return this.#freeAtMs;
  }

  bytesAt(slot: number): number {
    return this.#bytes[slot] ?? 0;
  }

  leave(): void {
    this.#first = (this.#first + 1) % this.slots;
    this.#length--;
    this.counts.passed++;
  }
}
