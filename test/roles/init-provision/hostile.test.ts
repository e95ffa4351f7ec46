import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync } from "node:fs";
import { checkLayout } from "../../../src/roles/init/provision/layout.ts";
import { TarRefusal } from "../../../src/roles/init/provision/tar/refusal.ts";
import { closeFile, openat2, openFlags } from "../../../src/system/filesystem.ts";
import { attributeCases } from "./corpus/attribute.ts";
import { good, mode } from "./corpus/effect.ts";
import { frameCases } from "./corpus/frame.ts";
import { linkCases } from "./corpus/link.ts";
import { metaCases } from "./corpus/meta.ts";
import { pathCases } from "./corpus/path.ts";
import { endlessLines, sparseCases } from "./corpus/sparse.ts";
import { Scratch, unpackInto } from "./scratch.ts";
import { oldGnu, pax10 } from "./sparse-builder.ts";
import { archive, concat, file, symlink } from "./tar-builder.ts";

setDefaultTimeout(60_000);

const cases = [
  ...pathCases,
  ...linkCases,
  ...metaCases,
  ...sparseCases,
  ...attributeCases,
  ...frameCases,
];

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

function attempt<Result>(run: () => Result): Result | Error {
  try {
    return run();
  } catch (error) {
    return error as Error;
  }
}
