import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { checkLayout } from "../../../src/roles/init/provision/layout.ts";
import { TarRefusal } from "../../../src/system/archive/tar/refusal.ts";
import { closeFile, openat2, openFlags } from "../../../src/system/filesystem.ts";
import { attributeCases } from "./corpus/attribute.ts";
import { breakoutCases } from "./corpus/breakout.ts";
import { good, mode } from "./corpus/effect.ts";
import { frameCases } from "./corpus/frame.ts";
import { linkCases } from "./corpus/link.ts";
import { metaCases } from "./corpus/meta.ts";
import { pathCases } from "./corpus/path.ts";
import { endlessLines, sparseCases } from "./corpus/sparse.ts";
import { listing, Scratch, unpackInto } from "./scratch.ts";
import { oldGnu, pax10 } from "./sparse-builder.ts";
import { archive, concat, file, symlink } from "./tar-builder.ts";
import { rootfs, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

const cases = [
  ...pathCases,
  ...linkCases,
  ...metaCases,
  ...sparseCases,
  ...attributeCases,
  ...frameCases,
  ...breakoutCases,
];

/** Rows about more than one archive given to the reader: the files that have their tests. */
const elsewhere: Readonly<Record<number, string>> = {
  65: "../../system/archive/decompress.test.ts",
  66: "../../system/archive/decompress.test.ts",
  67: "../../system/archive/decompress.test.ts",
  68: "../../system/archive/decompress.test.ts",
  69: "limits.test.ts",
  70: "tar-fuzz.test.ts",
  71: "hostile.test.ts",
  72: "hostile.test.ts",
  75: "limits.test.ts",
};

describe("hostile archives", () => {
  for (const [row, title, bytes, effect] of cases) {
    for (const slice of [undefined, 511]) {
      const how = slice === undefined ? "" : `, in slices of ${slice}`;
      test(`row ${row}: ${title}${how}`, () => {
        using scratch = new Scratch();
        const outcome = attempt(() =>
          unpackInto(scratch.root, bytes, slice === undefined ? {} : { slice }),
        );
        expect(scratch.escaped).toBe(false);
        if (typeof effect === "string") {
          expect(outcome).toBeInstanceOf(TarRefusal);
          expect((outcome as TarRefusal).reason).toBe(effect);
        } else {
          if (outcome instanceof Error) throw outcome;
          effect(scratch, outcome.skipped);
        }
      });
    }
  }

  test("every row has a case here, or a test that names it", () => {
    const covered = new Set(cases.map(([row]) => row));
    for (const [row, name] of Object.entries(elsewhere)) {
      const text = readFileSync(new URL(name, import.meta.url), "utf8");
      if (new RegExp(`(test|describe)\\(\\s*"rows? [\\d, and]*\\b${row}\\b`).test(text))
        covered.add(Number(row));
    }
    const rows = Array.from({ length: 76 }, (_, index) => index + 1);
    expect(rows.filter((row) => !covered.has(row))).toEqual([]);
  });

  test("one byte at a time makes no difference", () => {
    for (const [, title, bytes, effect] of cases) {
      if (bytes.length > 20_000) continue;
      using scratch = new Scratch();
      const outcome = attempt(() => unpackInto(scratch.root, bytes, { slice: 1 }));
      const reason = outcome instanceof TarRefusal ? outcome.reason : "accepted";
      expect([title, reason]).toEqual([title, typeof effect === "string" ? effect : "accepted"]);
    }
  });

  test("a refusal names the entry", () => {
    using scratch = new Scratch();
    const outcome = attempt(() => unpackInto(scratch.root, archive(good, file("a/../b"))));
    expect(outcome).toMatchObject({ reason: "E_PATH_DOTDOT", entry: "a/../b" });
  });

  test("a refusal says what is wrong with a map, as soon as it is", () => {
    using scratch = new Scratch();
    const beyond = oldGnu({ sizeBytes: 1000, pairs: [[512, 512]] });
    const endless = pax10({ sizeBytes: 512, lines: endlessLines });
    for (const [bytes, message] of [
      [beyond.subarray(0, 512), "behind the file's end"],
      [endless, "longer than what is stored"],
    ] as const) {
      const outcome = attempt(() => unpackInto(scratch.root, concat(bytes, good)));
      expect((outcome as Error).message).toContain(message);
    }
  });
});

describe("row 71: the layout", () => {
  const shell = file("bin/sh", "#!", { mode: 0o755 });
  const layouts: readonly (readonly [string, Uint8Array, string | undefined])[] = [
    ["a shell is enough", archive(shell), undefined],
    ["an init is enough", archive(file("sbin/init", "x", { mode: 0o755 })), undefined],
    [
      "merged usr, absolute links",
      archive(
        symlink("bin", "usr/bin"),
        file("usr/bin/dash", "x", { mode: 0o755 }),
        symlink("usr/bin/sh", "/usr/bin/dash"),
      ),
      undefined,
    ],
    ["neither", archive(good), "neither"],
    ["a shell that is no program", archive(file("bin/sh")), "neither"],
    ["a shell outside", archive(symlink("bin", "/../../../../bin"), good), "neither"],
    ["/root a file", archive(shell, file("root")), "/root"],
    ["/home a link", archive(shell, symlink("home", "/var/home")), "/home"],
    ["/dev a link", archive(shell, symlink("dev", "/etc")), "/dev"],
    ["/proc a file", archive(shell, file("proc")), "/proc"],
    ["/tmp a link", archive(shell, symlink("tmp", "var/tmp")), "/tmp"],
  ];
  for (const [title, bytes, complaint] of layouts) {
    test(title, () => {
      using scratch = new Scratch();
      unpackInto(scratch.root, bytes);
      const fd = openat2(-100, scratch.root, { flags: openFlags.directory });
      const outcome = attempt(() => checkLayout(fd));
      closeFile(fd);
      if (complaint === undefined) {
        expect(outcome).toBeUndefined();
        expect(lstatSync(scratch.path("proc")).isDirectory()).toBe(true);
        mode("tmp", 0o1777)(scratch);
      } else {
        expect(outcome).toMatchObject({ reason: "E_LAYOUT" });
        expect(`${(outcome as TarRefusal).entry} ${(outcome as TarRefusal).message}`).toContain(
          complaint,
        );
      }
    });
  }
});

test("row 72: files below /root and /home are the image's own, and the user's stay as they are", async () => {
  await using volume = new Volume();
  await volume.provision(rootfs("1"));
  const keys = "root/.ssh/authorized_keys";
  await volume.provision(rootfs("2", file(keys, "evil"), file("home/user/note2", "evil")));
  expect(volume.read(`rootfs/${keys}`)).toBe("evil");
  expect(volume.read(`persist/${keys}`)).toBeUndefined();
  expect(listing(join(volume.dir, "persist")).map(({ path }) => path)).toEqual([
    "home",
    "home/user",
    "home/user/note",
    "root",
    "root/.profile",
  ]);
  expect(volume.read("persist/root/.profile")).toBe("profile of 1");
});

function attempt<Result>(run: () => Result): Result | Error {
  try {
    return run();
  } catch (error) {
    return error as Error;
  }
}
