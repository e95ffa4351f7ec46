import { expect, test } from "bun:test";
import { between, type Random, seed, seededRandom } from "../../support/seed.ts";
import { VirtualTime } from "../../support/virtual-time.ts";
import { fairWeather, newImage, SimulatedFleet, type Weather } from "./simulated-fleet.ts";
import { SimulatedRollout } from "./simulated-rollout.ts";
import type { PlanRecord } from "../../../src/roles/admin/rollout-record.ts";

function stage(
  count: number,
  options: {
    readonly seed?: number;
    readonly plan?: Partial<PlanRecord["options"]>;
    readonly weather?: Partial<Weather>;
  } = {},
): SimulatedRollout {
  const time = new VirtualTime();
  const fleet = new SimulatedFleet(time, seededRandom(options.seed ?? seed), count);
  fleet.weather = { ...fairWeather, ...options.weather };
  return new SimulatedRollout(time, fleet, fleet.plan(options.plan));
}

test("a rollout in fair weather: everything new, everything given back", async () => {
  const on = stage(30);
  const done = await on.run();
  expect(on.problems(done!.state)).toEqual([]);
  expect(done!.state.finished).toBe(true);
  expect([...on.fleet.machines.values()].filter(({ image }) => image !== newImage)).toEqual([]);
});

test("200 tenants with one call in twenty failing, done or not", async () => {
  const on = stage(200, { plan: { concurrency: 16 }, weather: { failing: 0.05 } });
  const done = await on.run();
  expect(on.problems(done!.state)).toEqual([]);
  expect([done!.state.finished, done!.state.turned]).toEqual([true, undefined]);
});

test("a sick image goes back everywhere, the failed machine too", async () => {
  // One that rests would not show it.
  const sick = new Set(Array.from({ length: 10 }, (_, at) => 2 * at + 1));
  const on = stage(20, { weather: { sick } });
  const done = await on.run();
  expect(on.problems(done!.state)).toEqual([]);
  expect(done!.state.turned).toBeDefined();
  expect([...on.fleet.machines.values()].filter(({ image }) => image === newImage)).toEqual([]);
});

function roughWeather(random: Random, sick: ReadonlySet<number>): Weather {
  const sometimes = (chance: number, share: number): number => (random() < chance ? share : 0);
  return {
    ...fairWeather,
    sick,
    failing: random() * 0.12,
    stolen: sometimes(0.3, random() * 0.03),
    vanishing: sometimes(0.2, 0.003),
    meddling: sometimes(0.2, 0.003),
    napping: sometimes(0.2, 0.01),
    stale: sometimes(0.3, 0.05),
    silent: sometimes(0.2, 0.02),
    busy: random() * 0.9,
  };
}

/** More of them in a long test: FV_ROLLOUTS=20000. */
const rounds = Number(process.env["FV_ROLLOUTS"]) || 300;

test(
  "any weather, killed and resumed anywhere: nothing is left behind",
  async () => {
    for (let round = 0; round < rounds; round += 1) await roundOf(seed, round);
  },
  60_000 + 20 * rounds,
);

test.each([
  ["a renewal without an answer took the lease anew, after a sleep", 217, 1],
  ["a renewal was under way while the lease was given back", 1, 658],
])("%s: nothing is left behind", async (_, base, round) => roundOf(base, round));

async function roundOf(base: number, round: number): Promise<void> {
  const random = seededRandom(base + round * 7919);
  const sick = random() < 0.4 ? new Set([between(random, 0, 11)]) : new Set<number>();
  const rough = roughWeather(random, sick);
  const on = stage(between(random, 1, 12), {
    seed: base + round,
    plan: {
      concurrency: between(random, 1, 5),
      canary: between(random, 0, 3),
      unavailableMax: between(random, 1, 4),
      handshake: random() < 0.5,
      drainMs: random() < 0.3 ? between(random, 1, 60_000) : 0,
    },
    weather: rough,
  });
  on.fleet.secretive = random() < 0.2;
  let done = await on.run({ kill: { write: between(random, 1, 60), share: random() } });
  for (let kills = 0; kills < 6; kills += 1) {
    if (done !== undefined) break;
    done = await on.resume({ kill: { write: between(random, 1, 40), share: random() } });
  }
  // The weather clears up; then a resume has to be able to end it.
  on.fleet.weather = { ...fairWeather, sick };
  for (let more = 0; more < 4 && done?.state.finished !== true; more += 1) done = await on.resume();
  // A lease that only its life can end.
  if (on.fleet.secretive) await on.rest(31_000);
  const held = rough.stolen > 0 || on.fleet.secretive;
  // A lease that is not at hand may keep a machine cordoned while the next one goes back.
  const { concurrency, unavailableMax } = done!.state.plan.options;
  const bounded = on.fleet.cordonedMax <= Math.min(concurrency, unavailableMax);
  expect([round, bounded || held]).toEqual([round, true]);
  expect([round, on.fleet.cordonedOfTenantMax <= 1 || held]).toEqual([round, true]);
  expect({ round, problems: on.problems(done!.state), finished: done!.state.finished }).toEqual({
    round,
    problems: [],
    finished: true,
  });
}
