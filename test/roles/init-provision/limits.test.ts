import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ftruncateSync, readdirSync, readlinkSync, statSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { DiskFull, SpaceGuard } from "../../../src/roles/init/provision/disk-full.ts";
import type { ExtractorSystem } from "../../../src/roles/init/provision/extractor.ts";
import { provisionLimits } from "../../../src/roles/init/provision/limits.ts";
import { Skipped } from "../../../src/roles/init/provision/skipped.ts";
import { refusalReport } from "../../../src/roles/init/provision/refusal-report.ts";
import { tarLimits } from "../../../src/system/archive/tar/limits.ts";
import { TarRefusal } from "../../../src/system/archive/tar/refusal.ts";
import * as filesystem from "../../../src/system/filesystem.ts";
import { SystemError } from "../../../src/system/libc.ts";
import { Scratch, unpackInto } from "./scratch.ts";
import { oldGnu, type Pair, pax10 } from "./sparse-builder.ts";
import { archive, dir, fifo, file, hardlink, pax, symlink } from "./tar-builder.ts";

setDefaultTimeout(120_000);

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

const disk = (bytes: number, inodes = Infinity) => ({ bytes, inodes });

const many = (count: number, make: (index: number) => Uint8Array) =>
  archive(file("first"), ...Array.from({ length: count }, (_, index) => make(index)));

/** A sparse file of so many segments. */
const sparse = (count: number) =>
  archive(
    pax10({
      sizeBytes: count * 600 - 88,
      pairs: Array.from({ length: count }, (_, index): Pair => [index * 600, 512]),
      data: "x".repeat(count * 512),
    }),
  );

/** Our descriptors of files and folders below `folder`. */
function openBelow(folder: string): number {
  const links = readdirSync("/proc/self/fd").map((fd) =>
    attempt(() => readlinkSync(`/proc/self/fd/${fd}`)),
  );
  return links.filter((link) => typeof link === "string" && link.startsWith(folder)).length;
}

describe("row 69: limits", () => {
  const small = { ...tarLimits, entriesMax: 10, expandedBytesMax: 5000, sparseSegmentsMax: 5 };
  const reached: readonly (readonly [string, Uint8Array, object])[] = [
    ["entries", many(10, (index) => file(`f${index}`)), { reason: "E_LIMIT_ENTRIES" }],
    ["bytes", many(5, (index) => file(`f${index}`, "x".repeat(1000))), { reason: "E_LIMIT_BYTES" }],
    [
      "bytes, holes included",
      archive(oldGnu({ sizeBytes: 5001, pairs: [[5001, 0]] })),
      { reason: "E_LIMIT_BYTES" },
    ],
    [
      "segments of a sparse file",
      sparse(6),
      { reason: "E_SPARSE", message: expect.stringContaining("more than 5") as string },
    ],
    ["directories", many(8, (index) => dir(`d${index}`)), { reason: "E_LIMIT_DIRECTORIES" }],
    [
      "names of directories",
      many(3, (index) => dir(`d${index}${"x".repeat(50)}`)),
      { reason: "E_LIMIT_DIRECTORIES", message: expect.stringContaining("200 bytes") as string },
    ],
    [
      "directories made on the way",
      archive(file("a/b/c/d/e/f/g/h")),
      { reason: "E_LIMIT_DIRECTORIES" },
    ],
  ];
  for (const [title, bytes, expected] of reached) {
    test(`of ${title} are reached`, () => {
      using scratch = new Scratch();
      const limits = { ...provisionLimits, directoriesMax: 6, directoryBytesMax: 200 };
      const outcome = attempt(() => unpackInto(scratch.root, bytes, { tarLimits: small, limits }));
      expect(outcome).toMatchObject(expected);
    });
  }

  test("of segments are not too small by one", () => {
    using scratch = new Scratch();
    unpackInto(scratch.root, sparse(5), { tarLimits: small });
    expect(statSync(scratch.path("s")).size).toBe(5 * 600 - 88);
  });

  test("of links to one file are the disk's own", () => {
    using scratch = new Scratch();
    const bytes = many(66_000, (index) => hardlink(`l${index}`, "first"));
    expect(attempt(() => unpackInto(scratch.root, bytes))).toMatchObject({
      reason: "E_LIMIT_LINKS",
    });
  });

  test("of open folders hold: descriptors do not grow with the archive", () => {
    using scratch = new Scratch();
    let peak = 0;
    const watching: ExtractorSystem = {
      ...filesystem,
      ftruncate: ftruncateSync,
      write: (...words: Parameters<typeof writeSync>) => {
        peak = Math.max(peak, openBelow(scratch.dir));
        return writeSync(...words);
      },
    } as unknown as ExtractorSystem;
    const bytes = many(500, (index) => file(`d${index % 200}/f${index}`));
    unpackInto(scratch.root, bytes, { system: watching });
    expect(peak).toBeGreaterThanOrEqual(provisionLimits.openFoldersMax);
    expect(peak).toBeLessThan(provisionLimits.openFoldersMax + 8);
    expect(openBelow(scratch.dir)).toBe(0);
  });

  test("of what waits for the disk hold: it is told of every byte of a large file, and of no small one", () => {
    using scratch = new Scratch();
    const told: number[][] = [];
    const watching: ExtractorSystem = {
      ...filesystem,
      ftruncate: ftruncateSync,
      write: writeSync,
      startWriting: (_fd: number, offset: number, length: number) => told.push([offset, length]),
    };
    const bytes = archive(
      file("small", "x".repeat(99)),
      file("middle", "x".repeat(100)),
      file("large", "x".repeat(2600)),
    );
    const limits = { ...provisionLimits, writebackBytes: 1000, writebackBytesMin: 100 };
    unpackInto(scratch.root, bytes, { slice: 500, limits, system: watching });
    const [middle, ...large] = told;
    expect(middle).toEqual([0, 100]);
    let end = 0;
    for (const [offset = NaN, length = NaN] of large) {
      expect(offset).toBe(end);
      expect(length).toBeLessThan(1500);
      end += length;
    }
    expect(end).toBe(2600);
  });

  test("of the report of left-out things hold", () => {
    const skipped = new Skipped();
    for (let index = 0; index < 1000; index++) skipped.add(`kind ${index}`, "name");
    expect(skipped.lines().length).toBe(provisionLimits.skippedKindsMax);
  });
});

describe("SpaceGuard", () => {
  test("keeps a tenth of the free space and of the inodes", () => {
    const guard = new SpaceGuard(-1, provisionLimits, () => disk(1000, 10));
    guard.reserve(800);
    expect(attempt(() => guard.reserve(101))).toBeInstanceOf(DiskFull);
    for (let index = 0; index < 8; index++) guard.reserve(0);
    expect(attempt(() => guard.reserve(0))).toBeInstanceOf(DiskFull);
  });

  test("asks again, since others write too", () => {
    let free = 1_000_000_000;
    const guard = new SpaceGuard(-1, provisionLimits, () => disk(free));
    guard.reserve(1000);
    free = 100_000_001;
    for (let index = 0; index < provisionLimits.spaceCheckEntries - 1; index++) guard.reserve(0);
    expect(attempt(() => guard.reserve(1000))).toBeInstanceOf(DiskFull);
  });
});

/** The kernel refuses the n-th call of its kind, for every call and every n. */
describe("row 75: a failing system call", () => {
  const everything = archive(
    dir("d", { uid: 5 }),
    file("d/f", "content", { uid: 5, mode: 0o4755 }),
    pax([["SCHILY.xattr.user.a", "b"]]),
    file("g", "x".repeat(5000)),
    symlink("s", "d", { uid: 5 }),
    hardlink("h", "g"),
    fifo("p", { uid: 5 }),
    oldGnu({
      name: "sparse",
      sizeBytes: 9000,
      pairs: [
        [0, 512],
        [4096, 512],
        [9000, 0],
      ],
      data: "s".repeat(1024),
    }),
  );
  const calls = [
    "openat2",
    "closeFile",
    "mkdirat",
    "mkfifoat",
    "symlinkat",
    "linkat",
    "fchown",
    "lchownat",
    "fchmod",
    "fchmodat",
    "futimes",
    "lutimesat",
    "fsetxattr",
    "write",
    "ftruncate",
  ] as const;

  /** The real calls, the n-th of one kind failing; counts how many there were. */
  function failing(kind: (typeof calls)[number], n: number, errno: number) {
    let count = 0;
    const real: Record<string, unknown> = {
      ...filesystem,
      write: writeSync,
      ftruncate: ftruncateSync,
    };
    const original = real[kind] as (...words: unknown[]) => unknown;
    real[kind] = (...words: unknown[]) => {
      count++;
      // A descriptor is gone even where close reports an error.
      if (count === n && kind === "closeFile") original(...words);
      if (count === n) throw new SystemError(kind, errno);
      return original(...words);
    };
    return { system: real as unknown as ExtractorSystem, calls: () => count };
  }

  for (const kind of calls) {
    for (const code of ["ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM"] as const) {
      test(`${kind} with ${code}`, () => {
        for (let n = 1; ; n++) {
          using scratch = new Scratch();
          const fault = failing(kind, n, constants.errno[code]);
          const outcome = attempt(() => unpackInto(scratch.root, everything, fault));
          if (fault.calls() < n) {
            expect(n).toBeGreaterThan(1);
            expect(outcome).not.toBeInstanceOf(Error);
            return;
          }
          expect(outcome).toBeInstanceOf(Error);
          const full = code === "ENOSPC" || code === "EDQUOT";
          expect(refusalReport(outcome).code).toBe(full ? "disk-full" : "internal");
          expect(openBelow(scratch.dir)).toBe(0);
          expect(scratch.escaped).toBe(false);
        }
      });
    }
  }

  test("a hole too large for the disk is a limit, not a failure", () => {
    using scratch = new Scratch();
    const fault = failing("ftruncate", 1, constants.errno.EFBIG);
    const outcome = attempt(() => unpackInto(scratch.root, everything, fault));
    expect(outcome).toMatchObject({ reason: "E_LIMIT_BYTES", entry: "sparse" });
  });

  test("attributes the disk does not know are left out, not refused", () => {
    using scratch = new Scratch();
    const fault = failing("fsetxattr", 1, constants.errno.EOPNOTSUPP);
    const { skipped } = unpackInto(scratch.root, everything, fault);
    expect(skipped).toEqual(["1 × attribute user.a (refused by the disk), first g"]);
  });
});

test("every reason becomes a report with a code, a sentence and, where there is one, advice", () => {
  const refusal = new TarRefusal("E_LAYER_TAR", "This is one layer", "etc/.wh.x");
  expect(refusalReport(refusal)).toEqual({
    type: "refused",
    code: "archive-refused",
    message: "etc/.wh.x: This is one layer (E_LAYER_TAR)",
    hint: "Flatten the image first: docker export, not docker save",
  });
  expect(refusalReport(new TarRefusal("E_TRUNCATED", "cut")).code).toBe("archive-truncated");
  expect(refusalReport("odd")).toEqual({ type: "refused", code: "internal", message: "odd" });
});
