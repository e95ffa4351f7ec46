import { afterAll, describe, expect, test } from "bun:test";
import { seed, seededRandom } from "../../support/seed.ts";
import { cutPower, type Recording, record, Violation } from "./crash-check.ts";
import { mutants } from "./crash-mutants.ts";
import { scenarios, type Through } from "./crash-scenarios.ts";

/**
 * The power goes at every step of provisioning, going back, proving and repairing, and the disk is in
 * any state that the rules of `CrashFs` allow; a quarter of the boots after it lose their power too.
 * Each time the boot finds the old tree or the new one, whole, and all goes on.
 * FV_FUZZ_SECONDS: so long instead of so many; FV_SEED: to see a failure again.
 */
const images = 100_000;
const seconds = Number(process.env["FV_FUZZ_SECONDS"]) || 0;
const longestMs = seconds * 1000 + 120_000;
let seen = 0;

afterAll(() => console.log(`FV_SEED=${seed}: ${seen} crash images`));

describe("power lost at any step", () => {
  test.each(scenarios)(
    "$title",
    async (scenario) => {
      const recording = await record(scenario);
      const stopAtMs = performance.now() + (seconds * 1000) / scenarios.length;
      const wanted = Math.ceil(images / scenarios.length);
      const random = seededRandom(seed);
      let count = 0;
      while (seconds > 0 ? performance.now() < stopAtMs : count < wanted) {
        await cutPowerAt(recording, count % (recording.fs.steps + 1), random);
        count++;
      }
      expect(count).toBeGreaterThan(recording.fs.steps);
      seen += count;
    },
    longestMs,
  );
});

async function cutPowerAt(recording: Recording, step: number, random: () => number): Promise<void> {
  try {
    await cutPower(recording, step, random);
  } catch (error) {
    const steps = recording.fs.around(step);
    throw new Error(`FV_SEED=${seed}, after step ${step} of ${steps}`, { cause: error });
  }
}

describe("a mistake is found out", () => {
  test.each(mutants)("$title", async ({ through, breaks }) => {
    const found = await firstViolation(through);
    expect(found).toBeInstanceOf(Violation);
    expect(found?.message).toStartWith(`Not so: ${breaks}.`);
  });
});

/** What a mutant is caught by, if it is. */
async function firstViolation(through: Through): Promise<Error | undefined> {
  const random = seededRandom(seed);
  for (const scenario of scenarios) {
    try {
      const recording = await record(scenario, through);
      for (let round = 0; round < 20; round++)
        for (let step = 0; step <= recording.fs.steps; step++)
          await cutPower(recording, step, random);
    } catch (error) {
      return error instanceof Error ? error : undefined;
    }
  }
  return undefined;
}
