import { proxyLimits } from "../limits.ts";
import type { Source } from "../source.ts";

/**
 * Which networks sent wrong tags lately, in memory of one size. Each may stand in a few places only,
 * by a hash that nobody else can compute; where those are taken, it is not noted, rather than pushed
 * into the place of another.
 */
export class PenaltyTable {
  readonly #seed: number;
  readonly #hashes = new Uint32Array(proxyLimits.penaltyNetworksMax);
  /** Zero where nobody stands. */
  readonly #untilMs = new Float64Array(proxyLimits.penaltyNetworksMax);

  #size = 0;

  /** `seed` has 4 random bytes. */
  constructor(seed: Uint8Array) {
    this.#seed = Buffer.from(seed).readUInt32BE(0);
  }

  /** Places that were ever taken. */
  get size(): number {
    return this.#size;
  }

  note(network: Source["network"], nowMs: number): void {
    const hash = this.#hash(network);
    let at = this.#find(hash, nowMs);
    const known = at >= 0;
    if (!known) at = this.#free(hash, nowMs);
    if (at < 0) return;
    const fromMs = known ? (this.#untilMs[at] ?? nowMs) : nowMs;
    if (this.#untilMs[at] === 0) this.#size++;
    this.#hashes[at] = hash;
    const untilMs = fromMs + proxyLimits.penaltyPerBadTagMs;
    this.#untilMs[at] = Math.min(untilMs, nowMs + proxyLimits.penaltyMsMax);
  }

  /** One wrong tag is a slip, or forged; a network is punished for more. */
  isPunished(network: Source["network"], nowMs: number): boolean {
    const at = this.#find(this.#hash(network), nowMs);
    return at >= 0 && (this.#untilMs[at] ?? 0) - nowMs >= proxyLimits.penaltyMsMin;
  }

  /** -1 for nowhere, or where it is over. */
  #find(hash: number, nowMs: number): number {
    for (let step = 0; step < places; step++) {
      const at = placeOf(hash, step);
      if (this.#hashes[at] === hash && (this.#untilMs[at] ?? 0) > nowMs) return at;
    }
    return -1;
  }

  #free(hash: number, nowMs: number): number {
    for (let step = 0; step < places; step++) {
      const at = placeOf(hash, step);
      if ((this.#untilMs[at] ?? 0) <= nowMs) return at;
    }
    return -1;
  }

  /** No two IPv4 addresses have the same; of other networks one in 2^32 has that of a given one. */
  #hash(network: Source["network"]): number {
    if (typeof network === "number") return mixed(this.#seed ^ network);
    let hash = this.#seed;
    for (let at = 0; at < network.length; at++) hash = mixed(hash ^ network.charCodeAt(at));
    return hash;
  }
}

/** The last steps of MurmurHash3: every bit of the input changes half of the output's. */
function mixed(bits: number): number {
  let hash = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function placeOf(hash: number, step: number): number {
  return (hash + step) % proxyLimits.penaltyNetworksMax;
}

const places = 4;
