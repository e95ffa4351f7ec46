import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { seed } from "../test/support/seed.ts";
import { leftovers } from "./demo/leftovers.ts";
import { Timeline } from "./demo/timeline.ts";
import { PowerCuts } from "./vm-test/power-cuts.ts";
import { makeRootDisk } from "./vm-test/root-disk.ts";
import { Stage } from "./vm-test/stage.ts";
import * as steps from "./vm-test/steps.ts";

/**
 * `make vm-test`: the image as a virtual machine with a kernel, disks and a clock of its own, in which power
 * can go and time can stand still. Fly is fly-local, on this computer. qemu computes every instruction, so
 * all is some fifty times slower than it is.
 */
const cuts = Number(process.env["FV_POWER_CUTS"] ?? 10);
const pauseMs = 60_000;
const debian = resolve(import.meta.dir, "../.cache/debian-bookworm.tar.zst");

const timeline = new Timeline();
const folder = await mkdtemp(join(tmpdir(), "fv-vm-"));
const rootDisk = join(folder, "root.ext4");
try {
  await timeline.step("build the image and a disk of it", () => makeRootDisk(rootDisk), same);
  const stage = await Stage.open(folder, rootDisk);
  try {
    await live(stage);
  } catch (error) {
    process.stderr.write(await stage.log());
    throw error;
  } finally {
    await stage.close();
  }
  const left = await leftovers(stage.fly.folder);
  if (left.length > 0) throw new Error(`left behind: ${left.join(", ")}`);
} finally {
  await rm(folder, { recursive: true });
}
timeline.print();

async function live(stage: Stage): Promise<void> {
  await show("boot it, log in", () => steps.boots(stage));
  await show("provision Debian", () => steps.provisions(stage, debian));
  await show("run a command as a pipe", () => steps.pipes(stage, 1024 * 1024));
  await show("work in a console", () => steps.hasConsole(stage));
  await show("forward a port", () => steps.forwards(stage));
  await show("suspend it for 60 s", () => steps.survivesPause(stage, pauseMs));
  await show("its clock is ten minutes off", () => steps.refusesWrongClock(stage));
  await show("100 ms and 5 % of loss", () => steps.standsWeather(stage, 1024 * 1024));
  const power = await timeline.step(
    "two stamped root filesystems",
    () => PowerCuts.prepare(stage),
    ({ wholeMs }) => `provisioning one takes ${seconds(wholeMs)}`,
  );
  for (let number = 1; number <= cuts; number++)
    await timeline.step(
      `power cut ${number} of ${cuts}`,
      () => power.cut(),
      ({ moment, found, toldDone, bootMs }) =>
        `${moment}${toldDone ? ", told to be done" : ""}: the ${found} one, whole; up again in ${seconds(bootMs)}`,
    );
  await show("stop it", () => steps.stops(stage));
  console.log(`seed ${seed}`);
}

async function show(title: string, step: () => Promise<string>): Promise<void> {
  await timeline.step(title, step, same);
}

function same(words: string): string {
  return words;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
