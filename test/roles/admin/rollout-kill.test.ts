import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { programEnv } from "../../support/program.ts";
import { between, seed, seededRandom } from "../../support/seed.ts";
import {
  type FleetMachine,
  type FleetStage,
  images,
  leftovers,
  openFleetStage,
} from "./fleet-stage.ts";

const mainPath = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));
const kills = 30;

test("killed with -9 at 30 random lines of the journal, and resumed: nothing is left behind", async () => {
  const random = seededRandom(seed);
  // A new process has no cookie yet, and is told what was so a while ago.
  const on = await openFleetStage({ lagMs: 60 });
  try {
    await on.createTenants(10);
    const [stopped] = await eventually(on, (machines) => machines.length === 10);
    await on.call("POST", `/v1/apps/vault-tenants/machines/${stopped?.id}/stop`);
    const counts = { kills: 0, rollouts: 0 };
    let at: string = images.old;
    while (counts.kills < kills) {
      counts.rollouts += 1;
      // Every third one has to go back; the fleet is then as before.
      const sick = counts.rollouts % 3 === 0;
      const image = sick ? images.sick : at === images.old ? images.new : images.old;
      const ended = await killedRollout(on, image, () => between(random, 1, 30));
      const { exitCode } = ended;
      counts.kills += ended.kills;
      expect([counts, exitCode]).toEqual([counts, sick ? 8 : 0]);
      if (!sick) at = image;
      const machines = await eventually(on, (seen) =>
        seen.every((each) => each.config.image === at && leftovers([each]).length === 0),
      );
      expect([counts, leftovers(machines)]).toEqual([counts, []]);
      expect(machines.map(({ config }) => config.image)).toEqual(machines.map(() => at));
      const resting = machines.filter(({ state }) => state !== "started").map(({ id }) => id);
      expect(resting).toEqual([stopped?.id ?? ""]);
      expect(machines.map(({ config }) => Object.keys(config.env))).toEqual(
        machines.map(() => ["ACCESS_TOKEN"]),
      );
    }
  } finally {
    await on.close();
  }
}, 300_000);

/** The machines when they are seen so, or as they are a while later. */
async function eventually(on: FleetStage, isRight: (machines: FleetMachine[]) => boolean) {
  for (let tries = 0; ; tries += 1) {
    const machines = await on.machines();
    if (isRight(machines) || tries > 100) return machines;
    await Bun.sleep(5);
  }
}

/** One rollout, killed whenever its journal has so many lines more, until one run of it comes to its end. */
async function killedRollout(on: FleetStage, image: string, nextLines: () => number) {
  const numbers = ["--soak-secs", "0", "--health-timeout-secs", "1", "--concurrency", "3"];
  let words = ["--image", image, "--all-tenants", ...numbers];
  let count = 0;
  for (;;) {
    const known = on.journals();
    const run = begin(on, words);
    const before = words.includes("--resume") ? on.journal().length : 0;
    const goalLines = before + nextLines();
    const exitCode = await runUntil(run, () => {
      const fresh = words.includes("--resume") || on.journals().length > known.length;
      return fresh && on.journal().length >= goalLines;
    });
    if (exitCode !== undefined) return { exitCode, kills: count };
    count += 1;
    if (on.journals().length > 0) words = ["--resume", on.journals().at(-1) ?? ""];
  }
}

function begin(on: FleetStage, words: readonly string[]) {
  return Bun.spawn(
    [process.execPath, mainPath, "admin", "tenant", "update-image", "--no-handshake", ...words],
    { env: programEnv(on.env), cwd: "/", stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
}

/** The exit code, or undefined where it was killed because it was time. */
async function runUntil(run: Bun.Subprocess, isTime: () => boolean): Promise<number | undefined> {
  while (run.exitCode === null && !isTime()) await Bun.sleep(1);
  if (run.exitCode === null && run.pid > 1) run.kill("SIGKILL");
  const exitCode = await run.exited;
  return run.signalCode === null ? exitCode : undefined;
}
