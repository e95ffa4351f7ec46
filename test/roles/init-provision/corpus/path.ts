import { expect } from "bun:test";
import { lstatSync } from "node:fs";
import { type Case, paths, mode, good, long, deep } from "./effect.ts";
import { listing } from "../scratch.ts";
import { archive, dir, fifo, file, gnuLong, pax, symlink } from "../tar-builder.ts";

function found(root: string): number {
  const run = Bun.spawnSync(["find", root, "-mindepth", "1", "-printf", "x"], {
    env: { PATH: process.env["PATH"] ?? "" },
  });
  return run.stdout.length;
}

/** Names: where an entry may lie (rows 1 to 21). */
export const pathCases: readonly Case[] = [
  [1, "../x", archive(file("../x")), "E_PATH_DOTDOT"],
  [1, "a/../../x", archive(file("a/../../x")), "E_PATH_DOTDOT"],
  [1, "a/b/../x", archive(file("a/b/../x")), "E_PATH_DOTDOT"],
  [1, "..", archive(dir("..")), "E_PATH_DOTDOT"],
  [1, "dotdot in PAX path", archive(pax([["path", "a/../../x"]]), good), "E_PATH_DOTDOT"],
  [1, "dotdot in GNU long name", archive(gnuLong("L", "../x\0"), good), "E_PATH_DOTDOT"],
  [1, "three dots are a name", archive(file("...")), paths("...")],
  [2, "absolute", archive(file("/etc/x")), paths("etc", "etc/x")],
  [2, "slashes and dots", archive(file("//./a//./b")), paths("a", "a/b")],
  [3, "file named .", archive(file(".")), "E_PATH_EMPTY"],
  [3, "file named ./", archive(symlink("./", "x")), "E_PATH_EMPTY"],
  [3, "file named /", archive(file("/", "")), "E_PATH_EMPTY"],
  [3, "old directory ./", archive(good, file("./", "", { type: "\0" })), paths("good")],
  [3, "file without a name", archive(file("")), "E_PATH_EMPTY"],
  [
    3,
    "directory ./ is the root",
    archive(dir("./", { mode: 0o711 }), good),
    (root) => expect(lstatSync(root.root).mode & 0o777).toBe(0o711),
  ],
  [4, "prefix and dotdot", archive(file("../x", "x", { prefix: "a/b" })), "E_PATH_DOTDOT"],
  [4, "prefix joined", archive(file("x", "x", { prefix: "a/b" })), paths("a", "a/b", "a/b/x")],
  [
    4,
    "GNU magic has no prefix",
    archive(file("x", "x", { prefix: "a", magic: "gnu" })),
    paths("x"),
  ],
  [5, "zero inside the name", archive(file("name\0garbage")), paths("name")],
  [6, "zero in PAX path", archive(pax([["path", "a\0b"]]), good), "E_PAX_NUL"],
  [6, "zero in PAX linkpath", archive(pax([["linkpath", "a\0b"]]), symlink("l", "x")), "E_PAX_NUL"],
  [7, "PAX path empty", archive(pax([["path", ""]]), good), "E_PATH_EMPTY"],
  [
    8,
    "odd characters",
    archive(file("a\nb\x01\\c -d "), file("-rf")),
    paths("-rf", "a\nb\x01\\c -d "),
  ],
  [9, "latin-1 name", archive(file("\xe4\xff")), paths("\xe4\xff")],
  [10, "equal after U+FFFD", archive(file("\xe4", "1"), file("\xe5", "2")), paths("\xe4", "\xe5")],
  [11, "NFC and NFD", archive(file("\xc3\xa9"), file("e\xcc\x81")), paths("\xc3\xa9", "e\xcc\x81")],
  [12, "component of 256", archive(pax([["path", long(256)]]), good), "E_PATH_LONG"],
  [12, "component of 255", archive(pax([["path", long(255)]]), good), paths(long(255))],
  [
    12,
    "path of 4097",
    archive(pax([["path", `${"a/".repeat(100)}${`${long(240)}/`.repeat(16)}${long(41)}`]]), good),
    "E_PATH_LONG",
  ],
  [
    12,
    "path of 4096",
    archive(pax([["path", `${`${long(240)}/`.repeat(16)}${long(240)}`]]), good),
    (root) => expect(found(root.root)).toBe(17),
  ],
  [13, "depth 257", archive(pax([["path", deep(257)]]), good), "E_PATH_DEPTH"],
  [
    13,
    "depth 256",
    archive(pax([["path", deep(256)]]), good),
    (root) => expect(listing(root.root).length).toBe(256),
  ],
  [13, "depth 100 000", archive(pax([["path", deep(100_000)]]), good), "E_PATH_LONG"],
  [14, "through an absolute link", archive(symlink("l", "/etc"), file("l/x")), "E_PARENT_SYMLINK"],
  [
    14,
    "through a link to the sentinel",
    archive(symlink("l", "../outside"), file("l/x")),
    "E_PARENT_SYMLINK",
  ],
  [15, "through ..", archive(symlink("l", ".."), file("l/x")), "E_PARENT_SYMLINK"],
  [
    15,
    "through a chain",
    archive(symlink("a", ".."), symlink("b", "a/outside"), file("b/x")),
    "E_PARENT_SYMLINK",
  ],
  [15, "directory through a link", archive(symlink("l", ".."), dir("l/x/y")), "E_PARENT_SYMLINK"],
  [
    16,
    "through a link inside",
    archive(dir("d"), symlink("l", "d"), file("l/x")),
    "E_PARENT_SYMLINK",
  ],
  [
    16,
    "through a link to the folder itself",
    archive(symlink("l", "."), file("l/./x")),
    "E_PARENT_SYMLINK",
  ],
  [16, "through a FIFO", archive(fifo("p"), file("p/x")), "E_PARENT_NOT_DIRECTORY"],
  [16, "through a file", archive(file("f"), file("f/x")), "E_PARENT_NOT_DIRECTORY"],
  [
    17,
    "directory becomes a link",
    archive(dir("d"), symlink("d", "/etc"), file("d/x")),
    "E_DUPLICATE",
  ],
  [18, "link becomes a directory", archive(symlink("d", "/etc"), dir("d")), "E_DUPLICATE"],
  [18, "file becomes a directory", archive(file("d"), dir("d")), "E_DUPLICATE"],
  [
    19,
    "file, link, file",
    archive(file("f"), symlink("f", "/etc/passwd"), file("f")),
    "E_DUPLICATE",
  ],
  [20, "file twice", archive(file("f", "1"), file("f", "2")), "E_DUPLICATE"],
  [20, "file twice, spelled apart", archive(file("f", "1"), file("./f", "2")), "E_DUPLICATE"],
  [20, "FIFO over file", archive(file("f"), fifo("f")), "E_DUPLICATE"],
  [
    21,
    "directory twice",
    archive(dir("d", { mode: 0o700 }), good, dir("d/", { mode: 0o751 })),
    mode("d", 0o751),
  ],
];
