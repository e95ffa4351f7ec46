import { expect } from "bun:test";
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import type { Case, Effect } from "./effect.ts";
import { archive, dir, file, hardlink, symlink } from "../tar-builder.ts";

/**
 * The break-outs containerd tests for (`TestBreakouts`), by their names (row 76). There a layer is
 * applied to a tree that exists; here tree and layer are one archive. Links to absolute paths are
 * given without the slash too, so that more than the slash is refused.
 */
const passwd = [dir("etc", { mode: 0o770 }), file("etc/passwd", "inside")];
const skeleton = [dir("etc"), file("etc/passwd", "inside"), dir("localetc")];

const sameFile =
  (a: string, b: string): Effect =>
  (root) => {
    expect(lstatSync(root.path(a)).ino).toBe(lstatSync(root.path(b)).ino);
    expect(readFileSync(root.path(a), "latin1")).toBe("inside");
  };

const sameLink =
  (a: string, b: string, target: string): Effect =>
  (root) => {
    expect(lstatSync(root.path(a)).ino).toBe(lstatSync(root.path(b)).ino);
    expect(readlinkSync(root.path(a), "latin1")).toBe(target);
  };

/** A hard link with both spellings of its target: the absolute one is always refused. */
function hard(
  name: string,
  before: Uint8Array[],
  [link, target]: readonly [string, string],
  effect: Effect,
) {
  return [
    [76, name, archive(...before, hardlink(link, target)), effect],
    [76, `${name}, absolute`, archive(...before, hardlink(link, `/${target}`)), "E_LINK_TARGET"],
  ] satisfies Case[];
}

/** Two directories, then a link `localetc` by way of the second, and a file written through. */
function through(name: string, links: Uint8Array[], written: string): Case {
  const bytes = archive(dir("etc"), dir("dummy"), ...links, file(written, "unbroken"));
  return [76, name, bytes, "E_PARENT_SYMLINK"];
}

export const breakoutCases: readonly Case[] = [
  through("SymlinkAbsolute", [symlink("localetc", "/etc")], "/localetc/unbroken"),
  through("SymlinkUpAndOut", [symlink("localetc", "/dummy/../etc")], "/localetc/unbroken"),
  through(
    "SymlinkMultipleAbsolute",
    [symlink("/dummy/etc", "/etc"), symlink("localetc", "/dummy/etc")],
    "/dummy/etc/unbroken",
  ),
  through(
    "SymlinkMultipleRelative",
    [symlink("/dummy/etc", "/etc"), symlink("localetc", "./dummy/etc")],
    "/dummy/etc/unbroken",
  ),
  [
    76,
    "SymlinkEmptyFile",
    archive(
      dir("etc"),
      file("etc/emptied", "notempty"),
      symlink("localetc", "/etc"),
      file("/localetc/emptied", ""),
    ),
    "E_PARENT_SYMLINK",
  ],
  ...hard(
    "HardlinkRelative",
    [...passwd, dir("breakouts"), symlink("breakouts/d1", "../../etc")],
    ["breakouts/mypasswd", "breakouts/d1/passwd"],
    "E_PARENT_SYMLINK",
  ),
  ...hard(
    "HardlinkDownAndOut",
    [
      ...passwd,
      dir("breakouts"),
      dir("downandout"),
      symlink("breakouts/d1", "../downandout/../../etc"),
    ],
    ["breakouts/mypasswd", "breakouts/d1/passwd"],
    "E_PARENT_SYMLINK",
  ),
  ...(
    [
      ["HardlinkAbsolute", "/etc"],
      ["HardlinkRelativeLong", "../../../../../../../etc"],
      ["HardlinkRelativeUpAndOut", "upandout/../../../etc"],
    ] as const
  ).flatMap(([name, target]) =>
    hard(
      name,
      [...passwd, symlink("localetc", target)],
      ["localpasswd", "localetc/passwd"],
      "E_PARENT_SYMLINK",
    ),
  ),
  [
    76,
    "HardlinkDirectRelative",
    archive(...passwd, hardlink("localpasswd", "../../../../../etc/passwd")),
    "E_LINK_TARGET",
  ],
  ...hard(
    "HardlinkDirectAbsolute",
    passwd,
    ["localpasswd", "etc/passwd"],
    sameFile("localpasswd", "etc/passwd"),
  ),
  [76, "SymlinkParentDirectory", archive(...passwd, symlink("..", "/etc/")), "E_PATH_DOTDOT"],
  [76, "SymlinkEmptyFilename", archive(...passwd, symlink("", "/etc/")), "E_PATH_EMPTY"],
  [
    76,
    "SymlinkParentRelative",
    archive(...passwd, symlink("localetc/sub/..", "/etc/")),
    "E_PATH_DOTDOT",
  ],
  ...hard(
    "SymlinkSlashEnded",
    [...passwd, dir("localetc/")],
    ["/localetc/localpasswd", "etc/passwd"],
    sameFile("localetc/localpasswd", "etc/passwd"),
  ),
  [
    76,
    "SymlinkOverrideDirectory",
    archive(...skeleton, symlink("localetc", "/etc"), hardlink("localetc/x", "etc/passwd")),
    "E_DUPLICATE",
  ],
  [
    76,
    "SymlinkOverrideDirectoryRelative",
    archive(...skeleton, symlink("localetc", "../../etc"), hardlink("localetc/x", "etc/passwd")),
    "E_DUPLICATE",
  ],
  [
    76,
    "DirectoryOverrideSymlink",
    archive(...passwd, symlink("localetc", "/etc"), dir("/localetc/")),
    "E_DUPLICATE",
  ],
  [
    76,
    "DirectoryOverrideRelativeSymlink",
    archive(...passwd, symlink("localetc", "../../etc"), dir("/localetc/")),
    "E_DUPLICATE",
  ],
  [
    76,
    "DirectoryOverrideSymlinkAndHardlink",
    archive(
      ...passwd,
      symlink("localetc", "etc"),
      hardlink("localetc/localpasswd", "etc/passwd"),
      dir("/localetc/"),
      file("/localetc/localpasswd", "different"),
    ),
    "E_PARENT_SYMLINK",
  ],
  ...(
    [
      ["WhiteoutRootParent", [], ".wh..."],
      ["WhiteoutParent", [], "etc/.wh..."],
      ["WhiteoutRoot", [], ".wh.."],
      ["WhiteoutCurrentDirectory", [], "etc/.wh.."],
      ["WhiteoutSymlink", [symlink("localetc", "/etc")], ".wh.localetc"],
      ["WhiteoutSymlinkPath", [symlink("localetc", "/etc")], "localetc/.wh.whitedout"],
      ["WhiteoutDirectoryName", [symlink("localetc", "/etc")], ".wh.etc/somefile"],
      ["WhiteoutDeadSymlinkParent", [symlink("localetc", "/dne")], "localetc/.wh.etc"],
    ] as const
  ).map(([name, links, written]): Case => [
    76,
    name,
    archive(...passwd, ...links, file(written, "")),
    "E_LAYER_TAR",
  ]),
  [
    76,
    "WhiteoutRelativePath",
    archive(...passwd, symlink("localetc", "/dne"), file("dne/../.wh.etc", "")),
    "E_PATH_DOTDOT",
  ],
  [
    76,
    "HardlinkSymlinkBeforeCreateTarget",
    archive(
      dir("etc"),
      symlink("localpasswd", "/etc/passwd"),
      hardlink("localpasswd-dup", "localpasswd"),
      file("/etc/passwd", "after"),
    ),
    sameLink("localpasswd-dup", "localpasswd", "/etc/passwd"),
  ],
  ...hard(
    "HardlinkSymlinkRelative",
    [...passwd, symlink("passwdlink", "../../../../../etc/passwd")],
    ["localpasswd", "passwdlink"],
    sameLink("localpasswd", "passwdlink", "../../../../../etc/passwd"),
  ),
  ...hard(
    "HardlinkSymlinkAbsolute",
    [...passwd, symlink("passwdlink", "/etc/passwd")],
    ["localpasswd", "passwdlink"],
    sameLink("localpasswd", "passwdlink", "/etc/passwd"),
  ),
  // `x` lies beside the root, and its mode is looked at after every case.
  [
    76,
    "HardlinkSymlinkChmod",
    archive(
      ...passwd,
      symlink("/also/outside", "../../x"),
      hardlink("sketchylink", "also/outside", { mode: 0o7777, uid: 5 }),
    ),
    sameLink("sketchylink", "also/outside", "../../x"),
  ],
];
