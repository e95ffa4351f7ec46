import { dataLayout } from "../../../src/roles/init/provision/data-layout.ts";
import {
  markProven,
  restorePrevious,
  type StagedRootfs,
  stageRootfs,
} from "../../../src/roles/init/provision/provision.ts";
import { repairAtBoot } from "../../../src/roles/init/provision/repair.ts";
import { sealStaging } from "../../../src/roles/init/provision/seal.ts";
import { emptyTrash } from "../../../src/roles/init/provision/trash.ts";
import type { runUnpack } from "../../../src/roles/init/provision/unpack-process.ts";
import { onVolume } from "../../../src/roles/init/provision/volume-failure.ts";
import type { VolumeFs } from "../../../src/roles/init/provision/volume-fs.ts";
import { CrashDisk, type Tree } from "../../support/crash-disk.ts";
import { CrashFs } from "../../support/crash-fs.ts";
import { sha256 } from "./scratch.ts";

export const dataDir = "/data";
export const layout = dataLayout(dataDir);

/** What an archive of this version unpacks to. */
export function treeOf(version: string): Tree {
  return (trees[version] ??= makeTree(version));
}

const trees: Record<string, Tree> = {};

function makeTree(version: string): Tree {
  const words = `${version} `.repeat(4000);
  return {
    bin: { sh: words },
    version,
    root: { ".profile": `profile of ${version}` },
    home: { user: { note: words } },
  };
}

export function digestOf(version: string): string {
  return (digests[version] ??= sha256(`archive of ${version}`));
}

const digests: Record<string, string> = {};

/** How a volume's disk is reached; a mutant gets in between here. */
export type Through = (fs: CrashFs) => VolumeFs;
export const unchanged: Through = (fs) => fs;

/** The real steps of init on a simulated disk; of the child's work only the unpacking is played. */
export class SimVolume {
  readonly crashFs: CrashFs;
  readonly fs: VolumeFs;

  constructor(crashFs: CrashFs, through: Through = unchanged) {
    this.crashFs = crashFs;
    this.fs = through(crashFs);
  }

  static empty(capacityBytes?: number): CrashFs {
    const fs = new CrashFs(new CrashDisk(), capacityBytes);
    fs.makeFolder(dataDir);
    return fs;
  }

  async boot(): Promise<Awaited<ReturnType<typeof repairAtBoot>>> {
    const found = await repairAtBoot(dataDir, log, this.fs);
    await this.rest();
    return found;
  }

  async stage(version: string, sizeBytes?: number): Promise<StagedRootfs> {
    return stageRootfs({
      dataDir,
      archive: nothing(),
      sha256: digestOf(version),
      onProgress: () => undefined,
      signal: new AbortController().signal,
      log,
      unpackCommand: ["unpack"],
      runUnpack: this.#childFor(version),
      fs: this.fs,
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
    });
  }

  async provision(version: string): Promise<void> {
    const staged = await this.stage(version);
    await staged.activate();
  }

  async discard(version: string): Promise<void> {
    const staged = await this.stage(version);
    await staged.discard();
    await this.rest();
  }

  async goBack(): Promise<void> {
    await restorePrevious(dataDir, log, this.fs);
  }

  async prove(): Promise<void> {
    await markProven(dataDir, log, this.fs);
  }

  /** As by hand: files that no provisioning made. */
  plant(path: string, tree: Tree | string): void {
    this.crashFs.plant(path, tree);
  }

  /** Until what is deleted beside other work is deleted. */
  async rest(): Promise<void> {
    await emptyTrash({ layout, fs: this.fs, log }).catch(() => undefined);
  }

  /** As the real one: what goes wrong in it comes back as a refusal. */
  #childFor(version: string): typeof runUnpack {
    const work = async ([verb, ...words]: readonly string[]): Promise<void> => {
      if (verb !== "extract") return void (await sealStaging(words, this.fs));
      this.plant(layout.next, treeOf(version));
      this.fs.syncAll(layout.next);
    };
    return async ({ command }) => {
      await onVolume(() => work(command.slice(command.indexOf("unpack") + 1)));
      const counts = { received_bytes: 1000, entries: 4, written_bytes: 32_000 };
      return { type: "done", sha256: digestOf(version), ...counts, skipped: [] };
    };
  }
}

/** What may be found, by version; the tree that is live stands on probation unless it is proven. */
export interface World {
  readonly live?: string;
  readonly previous?: string;
  readonly proven: boolean;
}

export interface Scenario {
  readonly title: string;
  readonly capacityBytes?: number;
  readonly before: (volume: SimVolume) => Promise<void>;
  readonly job: (volume: SimVolume) => Promise<void>;
  /** Before the job, on the way, and after it. */
  readonly worlds: readonly [World, ...World[]];
}

/** The user's own work, which no root filesystem brought. */
const work = "what I did";

export const scenarios: readonly Scenario[] = [
  {
    title: "first",
    before: async (volume) => void (await volume.boot()),
    job: async (volume) => volume.provision("1"),
    worlds: [{ proven: true }, { live: "1", proven: true }],
  },
  {
    title: "first, before any boot",
    before: async () => undefined,
    job: async (volume) => volume.provision("1"),
    worlds: [{ proven: true }, { live: "1", proven: true }],
  },
  {
    title: "upgrade",
    before: async (volume) => provisioned(volume, "1"),
    job: async (volume) => volume.provision("2"),
    worlds: [
      { live: "1", proven: true },
      { live: "2", previous: "1", proven: false },
    ],
  },
  {
    title: "third, with a previous tree to lose",
    before: async (volume) => provisioned(volume, "0", "1"),
    job: async (volume) => volume.provision("2"),
    worlds: [
      { live: "1", previous: "0", proven: true },
      { live: "2", previous: "1", proven: false },
    ],
  },
  {
    title: "same digest again",
    before: async (volume) => provisioned(volume, "0", "1"),
    job: async (volume) => volume.provision("1"),
    worlds: [
      { live: "1", previous: "0", proven: true },
      { live: "1", previous: "1", proven: false },
    ],
  },
  {
    title: "third, where only two trees fit",
    capacityBytes: 4 * 1024 ** 2 + 60_000,
    before: async (volume) => provisioned(volume, "0", "1"),
    job: async (volume) => volume.provision("2"),
    worlds: [
      { live: "1", previous: "0", proven: true },
      { live: "1", proven: true },
      { live: "2", previous: "1", proven: false },
    ],
  },
  {
    title: "over a tree made by hand",
    before: async (volume) => {
      await volume.boot();
      volume.plant(layout.rootfs, treeOf("hand"));
      volume.plant(layout.persist, { root: { work }, home: {} });
    },
    job: async (volume) => volume.provision("1"),
    worlds: [
      { live: "hand", proven: true },
      { live: "1", previous: "hand", proven: false },
    ],
  },
  {
    title: "upgrade with a record that was lost",
    before: async (volume) => {
      await provisioned(volume, "0", "1");
      volume.crashFs.remove(layout.state);
    },
    job: async (volume) => volume.provision("2"),
    worlds: [
      { live: "1", previous: "0", proven: false },
      { live: "2", previous: "1", proven: false },
    ],
  },
  {
    title: "staged and thrown away",
    before: async (volume) => provisioned(volume, "0", "1"),
    job: async (volume) => volume.discard("2"),
    worlds: [{ live: "1", previous: "0", proven: true }],
  },
  {
    title: "going back",
    before: async (volume) => {
      await provisioned(volume, "1");
      await volume.provision("2");
    },
    job: async (volume) => volume.goBack(),
    worlds: [
      { live: "2", previous: "1", proven: false },
      { live: "1", previous: "2", proven: true },
    ],
  },
  {
    title: "going back to a tree made by hand",
    before: async (volume) => {
      await volume.boot();
      volume.plant(layout.rootfs, treeOf("hand"));
      volume.plant(layout.persist, { root: { work }, home: {} });
      await volume.provision("1");
    },
    job: async (volume) => volume.goBack(),
    worlds: [
      { live: "1", previous: "hand", proven: false },
      { live: "hand", previous: "1", proven: true },
    ],
  },
  {
    title: "proving itself",
    before: async (volume) => {
      await provisioned(volume, "1");
      await volume.provision("2");
    },
    job: async (volume) => volume.prove(),
    worlds: [
      { live: "2", previous: "1", proven: false },
      { live: "2", previous: "1", proven: true },
    ],
  },
  {
    title: "a boot without a live tree",
    before: async (volume) => {
      await provisioned(volume, "0", "1");
      volume.crashFs.remove(layout.rootfs);
    },
    job: async (volume) => void (await volume.boot()),
    worlds: [{ live: "0", proven: true }],
  },
];

/** One after the other, each of which proved itself, and something in /root. */
async function provisioned(volume: SimVolume, ...versions: readonly string[]): Promise<void> {
  await volume.boot();
  for (const version of versions) {
    await volume.provision(version);
    await volume.prove();
    volume.plant(`${layout.persist}/root/work`, work);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // The child that would read the archive is played.
}

export function log(): void {
  // What is logged does not matter here.
}
