import { mutate } from "./mutation.ts";
import { seed, seededRandom } from "./seed.ts";

/**
 * Feeds mutants of a corpus to a decoder: by number inside the tests, by time with FV_FUZZ_SECONDS
 * (make fuzz). What fails is thrown again with the bytes and the seed, to become a vector.
 */
export function fuzz(
  corpus: readonly Uint8Array[],
  runs: number,
  decode: (bytes: Uint8Array) => void,
): number {
  const random = seededRandom(seed);
  const seconds = Number(process.env["FV_FUZZ_SECONDS"]) || 0;
  const stopAt = performance.now() + seconds * 1000;
  let done = 0;
  while (seconds > 0 ? done % 256 !== 0 || performance.now() < stopAt : done < runs) {
    const bytes = mutate(random, corpus);
    try {
      decode(bytes);
    } catch (error) {
      const hex = Buffer.from(bytes).toString("hex");
      throw new Error(`FV_SEED=${seed}, mutant ${done}: ${hex}`, { cause: error });
    }
    done += 1;
  }
  return done;
}
