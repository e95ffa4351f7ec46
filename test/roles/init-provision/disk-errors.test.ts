import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { RemoteError } from "../../../src/protocol/errors.ts";
import type { VolumeFs } from "../../../src/roles/init/provision/volume-fs.ts";
import { SystemError } from "../../../src/system/libc.ts";
import { type CrashFs, errno } from "../../support/crash-fs.ts";
import { overlay } from "../../support/overlay.ts";
import { rejection } from "../../support/rejection.ts";
import { seed, seededRandom } from "../../support/seed.ts";
import { checkBoot, record, worldOf } from "./crash-check.ts";
import {
  dataDir,
  layout,
  type Scenario,
  scenarios,
  SimVolume,
  type World,
} from "./crash-scenarios.ts";

setDefaultTimeout(120_000);

/**
 * The disk is full, or fails, at one change after the other. The old tree is live, or the job got
 * through with the new one; what was taken is given back; the error says what it was; and once the
 * disk is well again all goes on.
 */
const codes = { ENOSPC: "disk-full", EIO: "internal" } as const;

type Failure = keyof typeof codes;
type Extent = "once" | "from then on";

/** Fails at the n-th change, and says whether it came to that. */
class FailingDisk {
  hit = false;
  #changes = 0;
  readonly #at: number;
  readonly #failure: Failure;
  readonly #extent: Extent;

  constructor(at: number, failure: Failure, extent: Extent = "once") {
    this.#at = at;
    this.#failure = failure;
    this.#extent = extent;
  }

  readonly through = (fs: CrashFs): VolumeFs =>
    overlay<VolumeFs>(fs, {
      makeFolder: (path) => {
        if (fs.exists(path)) return;
        this.#change("mkdir", path);
        fs.makeFolder(path);
      },
      rename: (from, to, onto) => {
        this.#change("rename", from);
        fs.rename(from, to, onto);
      },
      writeMark: (folder, value) => {
        this.#change("fsetxattr", folder);
        fs.writeMark(folder, value);
      },
      writeFile: (path, text) => {
        this.#change("write", path);
        fs.writeFile(path, text);
      },
      copyTree: async (from, to) => {
        fs.makeFolder(to);
        this.#change("write", to);
        return fs.copyTree(from, to);
      },
      emptyFolder: async (path) => {
        this.#change("unlink", path);
        return fs.emptyFolder(path);
      },
      syncFolder: (path) => {
        this.#change("fsync", path);
        fs.syncFolder(path);
      },
      syncAll: (folder) => {
        this.#change("syncfs", folder);
        fs.syncAll(folder);
      },
    });

  #change(call: string, path: string): void {
    this.#changes++;
    const fails = this.#extent === "once" ? this.#changes === this.#at : this.#changes >= this.#at;
    if (!fails) return;
    this.hit = true;
    throw new SystemError(call, errno[this.#failure], path);
  }
}

/** The job on a failing disk; what it says of it. */
async function run(
  scenario: Scenario,
  disk: FailingDisk,
): Promise<{ fs: CrashFs; error: unknown }> {
  const empty = SimVolume.empty(scenario.capacityBytes);
  await scenario.before(new SimVolume(empty));
  const fs = empty.settled();
  const volume = new SimVolume(fs, disk.through);
  let error: unknown;
  try {
    await scenario.job(volume);
  } catch (thrown) {
    error = thrown;
  }
  await volume.rest();
  return { fs, error };
}

describe.each(scenarios)("$title", (scenario) => {
  const { worlds } = scenario;
  const before = worlds.length === 1 ? worlds : worlds.slice(0, -1);

  test.each(["ENOSPC", "EIO"] as const)("%s at one change", async (failure) => {
    const persist = (await record(scenario)).persist;
    for (let at = 1; ; at++) {
      const disk = new FailingDisk(at, failure);
      const { fs, error } = await run(scenario, disk);
      if (!disk.hit) {
        expect(at).toBeGreaterThan(3);
        return;
      }
      if (error !== undefined) {
        expect(error).toBeInstanceOf(RemoteError);
        expect(error).toMatchObject({ code: codes[failure] });
        expect(before.map(treesOf)).toContainEqual(treesOf(worldOf(fs, true)));
        expect(fs.exists(layout.next)).toBe(false);
        expect(fs.disk.names(layout.trash)).toEqual([]);
      }
      await checkBoot({ scenario, fs, promisedStep: Infinity, persist }, 0, new SimVolume(fs));
    }
  });

  test.each(["ENOSPC", "EIO"] as const)("%s from one change on", async (failure) => {
    const persist = (await record(scenario)).persist;
    for (let at = 1; ; at++) {
      const disk = new FailingDisk(at, failure, "from then on");
      const { fs, error } = await run(scenario, disk);
      if (!disk.hit) return;
      if (error !== undefined) expect(error).toMatchObject({ code: codes[failure] });
      await checkBoot({ scenario, fs, promisedStep: Infinity, persist }, 0, new SimVolume(fs));
    }
  });
});

test("a boot goes on whatever fails on the way", async () => {
  const random = seededRandom(seed);
  // Where init never was, the first thing to fail is the lock.
  for (const scenario of scenarios.filter(({ title }) => title !== "first, before any boot")) {
    const recording = await record(scenario);
    for (let step = 0; step <= recording.fs.steps; step++) {
      for (let at = 1; ; at++) {
        const image = recording.fs.crash(step, random);
        const disk = new FailingDisk(at, "EIO");
        await new SimVolume(image, disk.through).boot();
        await checkBoot(recording, step, new SimVolume(image));
        if (disk.hit) continue;
        expect(at).toBeGreaterThan(1);
        break;
      }
    }
  }
});

test.each(["rootfs", "next", "previous"] as const)(
  "a boot goes on where %s cannot be looked at, and keeps both trees",
  async (unreadable) => {
    const fs = SimVolume.empty();
    const whole = new SimVolume(fs);
    await whole.provision("1");
    await whole.provision("2");
    await whole.rest();
    fs.makeFolder(layout.next);
    const volume = new SimVolume(fs, (through) =>
      overlay<VolumeFs>(through, {
        readMark: (folder) => {
          if (folder === layout[unreadable]) throw new SystemError("fgetxattr", errno.EIO, folder);
          return through.readMark(folder);
        },
      }),
    );
    expect((await volume.boot()).rootfs).toBe(true);
    expect(fs.disk.names(dataDir)).toContain("rootfs");
    expect(fs.disk.names(dataDir)).toContain("rootfs.previous");
  },
);

test("an old tree that could not get its name in the switch is the one to go back to", async () => {
  let failing = false;
  const volume = new SimVolume(SimVolume.empty(), (fs) =>
    overlay<VolumeFs>(fs, {
      rename: (from, to, onto) => {
        if (failing && to.startsWith(layout.trash)) throw new SystemError("rename", errno.EIO, to);
        fs.rename(from, to, onto);
      },
    }),
  );
  for (const version of ["0", "1"]) await volume.provision(version);
  failing = true;
  await volume.provision("2");
  await volume.rest();
  // Better not at all than to the one before it.
  expect(await rejection(volume.goBack())).toMatchObject({ code: "internal" });
  expect(worldOf(volume.crashFs, true).live).toBe("2");
  failing = false;
  await volume.goBack();
  expect(worldOf(volume.crashFs, true)).toEqual({ live: "1", previous: "2", proven: true });
});

function treesOf({ live, previous }: World): { live: string; previous: string } {
  return { live: live ?? "none", previous: previous ?? "none" };
}
