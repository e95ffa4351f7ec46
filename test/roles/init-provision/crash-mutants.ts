import type { VolumeFs } from "../../../src/roles/init/provision/volume-fs.ts";
import type { CrashFs } from "../../support/crash-fs.ts";
import { overlay } from "../../support/overlay.ts";
import { dataDir, layout, type Through } from "./crash-scenarios.ts";

interface Mutant {
  readonly title: string;
  /** What it is found out by. */
  readonly breaks: string;
  readonly through: Through;
}

const trees = "the old world or the new one";

/** Mistakes in the order of the steps that the crash images must find out. */
export const mutants: readonly Mutant[] = [
  {
    title: "no syncfs before the mark",
    breaks: "/data/rootfs.next is whole",
    through: (fs) => syncAllAfterMark(fs, "never"),
  },
  {
    title: "the mark before the syncfs",
    breaks: "/data/rootfs.next is whole",
    through: (fs) => syncAllAfterMark(fs, "later"),
  },
  { title: "no fsync after the exchange", breaks: trees, through: withoutExchangeSync },
  { title: "an exchange in three renames", breaks: trees, through: exchangeInThree },
  {
    title: "the previous tree goes before the exchange",
    breaks: trees,
    through: previousGoesFirst,
  },
  {
    title: "a seed in the place of what is there",
    breaks: "/data/persist is whole",
    through: seedReplaces,
  },
  {
    title: "a seed put in place before it is on disk",
    breaks: "/data/persist is whole",
    through: seedTooSoon,
  },
  {
    title: "a trash emptied before its names are on disk",
    breaks: "/data/rootfs.previous is whole",
    through: trashTooSoon,
  },
  { title: "a record without its fsync", breaks: trees, through: recordUnsynced },
  {
    title: "a mark of the tree that was there, not synced",
    breaks: trees,
    through: foreignUnsynced,
  },
];

const change = (fs: CrashFs, methods: Partial<VolumeFs>): VolumeFs =>
  overlay<VolumeFs>(fs, methods);

/** What was to be synced before the complete mark comes after it, or never. */
function syncAllAfterMark(fs: CrashFs, late: "later" | "never"): VolumeFs {
  let marked = false;
  return change(fs, {
    writeMark: (folder, value) => {
      marked = value.includes("complete");
      fs.writeMark(folder, value);
    },
    syncFolder: (path) => {
      fs.syncFolder(path);
      if (path === layout.next && late === "later") fs.syncAll(path);
    },
    syncAll: (folder) => {
      if (marked) fs.syncAll(folder);
    },
  });
}

function withoutExchangeSync(fs: CrashFs): VolumeFs {
  let exchanged = false;
  return change(fs, {
    rename: (from, to, onto) => {
      exchanged ||= onto === "exchange";
      fs.rename(from, to, onto);
    },
    syncFolder: (path) => {
      if (!exchanged) fs.syncFolder(path);
      exchanged = false;
    },
  });
}

function exchangeInThree(fs: CrashFs): VolumeFs {
  return change(fs, {
    rename: (from, to, onto) => {
      if (onto !== "exchange") return fs.rename(from, to, onto);
      const aside = `${dataDir}/rootfs.aside`;
      fs.rename(to, aside, "free");
      fs.rename(from, to, "free");
      fs.rename(aside, from, "free");
    },
  });
}

function previousGoesFirst(fs: CrashFs): VolumeFs {
  return change(fs, {
    rename: (from, to, onto) => {
      if (from === layout.next && onto === "exchange" && fs.exists(layout.previous)) {
        fs.rename(layout.previous, `${layout.trash}/early`, "free");
        fs.syncFolder(dataDir);
      }
      fs.rename(from, to, onto);
    },
  });
}

function seedReplaces(fs: CrashFs): VolumeFs {
  const taken = fs.exists(layout.persist);
  return change(fs, {
    exists: (path) => path !== layout.persist && fs.exists(path),
    rename: (from, to, onto) =>
      fs.rename(from, to, to === layout.persist && taken ? "exchange" : onto),
  });
}

function seedTooSoon(fs: CrashFs): VolumeFs {
  return change(fs, {
    copyTree: async (from, to) => {
      await fs.copyTree(from, to);
      if (!to.endsWith("home")) return;
      fs.rename(layout.persistNext, layout.persist, "free");
      fs.syncFolder(dataDir);
    },
  });
}

function trashTooSoon(fs: CrashFs): VolumeFs {
  let renamed = false;
  return change(fs, {
    rename: (from, to, onto) => {
      renamed = to.startsWith(layout.trash);
      fs.rename(from, to, onto);
    },
    syncFolder: (path) => {
      if (!renamed) fs.syncFolder(path);
      renamed = false;
    },
  });
}

function recordUnsynced(fs: CrashFs): VolumeFs {
  return change(fs, { writeFile: (path, text) => fs.plant(path, text) });
}

function foreignUnsynced(fs: CrashFs): VolumeFs {
  return change(fs, {
    syncFolder: (path) => {
      if (path !== layout.rootfs) fs.syncFolder(path);
    },
  });
}
