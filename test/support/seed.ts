import fc from "fast-check";

/** The seed of this run: FV_SEED to repeat one, else a fixed one, so that a failure is not lost. */
export const seed: number = Number(process.env["FV_SEED"]) || 20_261_123;

/** Parameters for `fc.assert`: fast-check prints seed and path when a property fails. */
export function seeded(numRuns: number): fc.Parameters<unknown> {
  return { seed, numRuns, endOnFailure: false };
}

/** A small fast generator (mulberry32): numbers in [0, 1). */
export type Random = () => number;

export function seededRandom(start: number): Random {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number in [from, to]. */
export function between(random: Random, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1));
}

export function randomBytes(random: Random, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = random() * 256;
  return bytes;
}

/** Values of an arbitrary as another random source says. */
export function sampled<Value>(
  random: Random,
  arbitrary: fc.Arbitrary<Value>,
  count: number,
): Value[] {
  return fc.sample(arbitrary, { seed: Math.floor(random() * 2 ** 31), numRuns: count });
}
