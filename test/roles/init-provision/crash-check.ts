import { isDeepStrictEqual } from "node:util";
import { completeMark, readMark } from "../../../src/roles/init/provision/mark.ts";
import type { Tree } from "../../support/crash-disk.ts";
import type { CrashFs } from "../../support/crash-fs.ts";
import type { Random } from "../../support/seed.ts";
import {
  dataDir,
  digestOf,
  layout,
  type Scenario,
  SimVolume,
  treeOf,
  type Through,
  unchanged,
  type World,
} from "./crash-scenarios.ts";

/** A scenario that ran once: the disk and every step on it, from which crash images are made. */
export interface Recording {
  readonly scenario: Scenario;
  readonly fs: CrashFs;
  /** The job said that it was done: from here on only its last world will do. */
  readonly promisedStep: number;
  readonly persist: Tree | string | undefined;
}

export async function record(scenario: Scenario, through?: Through): Promise<Recording> {
  const empty = SimVolume.empty(scenario.capacityBytes);
  await scenario.before(new SimVolume(empty));
  const fs = empty.settled();
  const persist = fs.disk.tree(layout.persist);
  const volume = new SimVolume(fs, through);
  await scenario.job(volume);
  const promisedStep = fs.steps;
  await volume.rest();
  return { scenario, fs, promisedStep, persist };
}

/** Cuts the power after so many steps and looks at what is left. Throws `Violation`. */
export async function cutPower(
  recording: Recording,
  step: number,
  random: Random,
  through: Through = unchanged,
): Promise<void> {
  let image = recording.fs.crash(step, random);
  checkMarks(image);
  // The boot loses its power as well, now and then more than once.
  while (random() < 0.25) {
    await new SimVolume(image, through).boot();
    image = image.crash(Math.floor(random() * (image.steps + 1)), random);
    checkMarks(image);
  }
  await checkBoot(recording, step, new SimVolume(image, through));
}

export async function checkBoot(
  recording: Recording,
  step: number,
  volume: SimVolume,
): Promise<void> {
  const { worlds } = recording.scenario;
  const image = volume.crashFs;
  const found = await volume.boot();
  const world = worldOf(image, found.proven);
  const allowed = step >= recording.promisedStep ? worlds.slice(-1) : worlds;
  demand("the old world or the new one", includes(allowed, world), world);
  demand("the boot says what is there", found.rootfs === (world.live !== undefined), found);
  demand("nothing is left over", leftovers(image).length === 0, leftovers(image));
  if (recording.persist === undefined) checkSeed(image, layout.persist, "1");
  else checkTree(image, layout.persist, recording.persist);

  const changes = image.changes;
  demand("a second boot says the same", isDeepStrictEqual(await volume.boot(), found), found);
  demand("a second boot changes nothing", image.changes === changes, image.changes - changes);
  await checkNext(recording, volume, world);
}

/** The next provisioning works: with the tree found here behind it, and the same /root and /home. */
async function checkNext(recording: Recording, volume: SimVolume, found: World): Promise<void> {
  const image = volume.crashFs;
  const hasPersist = image.exists(layout.persist);
  await volume.provision("next");
  const world = worldOf(image, false);
  const behind = found.live === undefined ? {} : { previous: found.live };
  demand(
    "the next one works",
    isDeepStrictEqual(world, { live: "next", ...behind, proven: false }),
    world,
  );
  if (recording.persist === undefined) checkSeed(image, layout.persist, hasPersist ? "1" : "next");
  else checkTree(image, layout.persist, recording.persist);
}

/** A tree that says it is complete is, wherever it lies, and so is the seed beside it. */
function checkMarks(image: CrashFs): void {
  for (const folder of [layout.rootfs, layout.next, layout.previous]) {
    const mark = completeMark(image, folder);
    if (mark === undefined) continue;
    const digest = digestOf(wholeVersion(image, folder));
    demand(`${folder} is what its mark says`, mark.sha256 === digest, mark);
  }
  if (completeMark(image, layout.next) !== undefined && !image.exists(layout.persist))
    checkSeed(image, layout.persistNext, wholeVersion(image, layout.next));
}

/** Whole, or not there at all. */
function checkSeed(image: CrashFs, folder: string, version: string): void {
  const { root = {}, home = {} } = treeOf(version);
  if (image.exists(folder)) checkTree(image, folder, { root, home });
}

function checkTree(image: CrashFs, path: string, tree: Tree | string): void {
  if (!image.disk.holds(path, tree)) throw new Violation(`${path} is whole`, image.disk.tree(path));
}

function wholeVersion(image: CrashFs, folder: string): string {
  const version = image.readFile(`${folder}/version`, 100) ?? "";
  checkTree(image, folder, treeOf(version));
  return version;
}

export function worldOf(image: CrashFs, proven: boolean): World {
  const named = (key: "live" | "previous", folder: string) =>
    readMark(image, folder) === "absent" ? {} : { [key]: wholeVersion(image, folder) };
  return { ...named("live", layout.rootfs), ...named("previous", layout.previous), proven };
}

function includes(worlds: readonly World[], world: World): boolean {
  return worlds.some((one) => isDeepStrictEqual(one, world));
}

function leftovers(image: CrashFs): readonly string[] {
  const strangers = image.disk.names(dataDir).filter((name) => !tops.has(name));
  return [...strangers, ...image.disk.names(layout.trash)];
}

const tops = new Set([".fly-vault", "persist", "rootfs", "rootfs.previous"]);

/** What a crash must never leave behind. */
export class Violation extends Error {
  override readonly name = "Violation";

  constructor(rule: string, found: unknown) {
    super(`Not so: ${rule}. Found: ${shortened(found)}`);
  }
}

function demand(rule: string, holds: boolean, found: unknown): void {
  if (!holds) throw new Violation(rule, found);
}

/** Whole blocks of the same words say nothing. */
function shortened(found: unknown): string {
  return JSON.stringify(found, (_key, value: unknown) =>
    typeof value === "string" && value.length > 100
      ? `${value.length} × ${value.slice(0, 8)}`
      : value,
  );
}
