import { expect } from "bun:test";
import { lstatSync, readlinkSync } from "node:fs";
import { type Case, paths, mode, good, long } from "./effect.ts";
import { archive, dir, fifo, file, hardlink, header, pax, symlink } from "../tar-builder.ts";

/** Links, and what must not happen through them (rows 22 to 32). */
export const linkCases: readonly Case[] = [
  [
    22,
    "link targets verbatim",
    archive(good, symlink("a", "/../../x"), symlink("b", "./nowhere/")),
    (root) => {
      expect(readlinkSync(root.path("a"), "latin1")).toBe("/../../x");
      expect(readlinkSync(root.path("b"), "latin1")).toBe("./nowhere/");
    },
  ],
  [
    22,
    "link target of 4095",
    archive(good, pax([["linkpath", long(4095)]]), symlink("l", "x")),
    (root) => expect(readlinkSync(root.path("l")).length).toBe(4095),
  ],
  // One less than PATH_MAX: the system call counts the terminating zero.
  [
    22,
    "link target of 4096",
    archive(good, pax([["linkpath", long(4096)]]), symlink("l", "x")),
    "E_LINK_LONG",
  ],
  [22, "link to nothing", archive(good, symlink("l", "")), "E_LINK_EMPTY"],
  [
    22,
    "PAX link to nothing",
    archive(good, pax([["linkpath", ""]]), symlink("l", "x")),
    "E_LINK_EMPTY",
  ],
  [
    23,
    "loop of links",
    archive(good, symlink("a", "b"), symlink("b", "a")),
    paths("a", "b", "good"),
  ],
  [
    23,
    "write through a loop",
    archive(symlink("a", "b"), symlink("b", "a"), file("a/x")),
    "E_PARENT_SYMLINK",
  ],
  [24, "hard link, absolute", archive(good, hardlink("h", "/etc/shadow")), "E_LINK_TARGET"],
  [24, "hard link, dotdot", archive(good, hardlink("h", "../../etc/shadow")), "E_LINK_TARGET"],
  [
    24,
    "hard link to the sentinel",
    archive(good, hardlink("h", "../outside/secret")),
    "E_LINK_TARGET",
  ],
  [
    25,
    "two links and a hard link",
    archive(symlink("a", "."), symlink("b", "a/.."), hardlink("h", "b/outside/secret")),
    "E_PARENT_SYMLINK",
  ],
  [
    25,
    "hard link made in a linked folder",
    archive(good, symlink("l", "../outside"), hardlink("l/h", "good")),
    "E_PARENT_SYMLINK",
  ],
  [
    26,
    "hard link to a link",
    archive(good, symlink("l", "/etc/passwd"), hardlink("h", "l")),
    (root) => {
      expect(readlinkSync(root.path("h"), "latin1")).toBe("/etc/passwd");
      expect(lstatSync(root.path("l")).nlink).toBe(2);
    },
  ],
  [
    27,
    "hard link to a later entry",
    archive(hardlink("h", "later"), file("later")),
    "E_LINK_TARGET",
  ],
  [
    27,
    "hard link into a later folder",
    archive(hardlink("h", "later/x"), file("later/x")),
    "E_LINK_TARGET",
  ],
  [27, "hard link to itself", archive(good, hardlink("h", "h")), "E_LINK_TARGET"],
  [27, "hard link to a directory", archive(good, dir("d"), hardlink("h", "d")), "E_LINK_TARGET"],
  [27, "hard link to the root", archive(good, hardlink("h", "./")), "E_LINK_TARGET"],
  [
    28,
    "content through a hard link",
    archive(good, hardlink("h", "good"), file("h", "new")),
    "E_DUPLICATE",
  ],
  [
    29,
    "mode through a hard link",
    archive(good, hardlink("h", "good", { mode: 0o4777, uid: 5 })),
    mode("good", 0o644),
  ],
  [
    29,
    "mode through a hard link to a link",
    archive(good, symlink("l", "../x"), hardlink("h", "l", { mode: 0o4777 })),
    paths("good", "h", "l"),
  ],
  [
    30,
    "hard link with data",
    archive(good, hardlink("h", "good", { size: 1024 }), new Uint8Array(1024)),
    "E_SIZE_ON_LINK",
  ],
  [
    31,
    "link with data",
    archive(good, symlink("l", "x", { size: 512 }), new Uint8Array(512)),
    "E_SIZE_ON_LINK",
  ],
  [
    31,
    "device with data",
    archive(good, header({ type: "3", size: 512 }), new Uint8Array(512)),
    "E_SIZE",
  ],
  [31, "FIFO with data", archive(good, fifo("f", { size: 512 }), new Uint8Array(512)), "E_SIZE"],
  [
    31,
    "link with PAX size",
    archive(good, pax([["size", "512"]]), symlink("l", "x")),
    "E_SIZE_ON_LINK",
  ],
  [
    32,
    "directory with data",
    archive(good, dir("d", { size: 1024 }), new Uint8Array(1024)),
    "E_SIZE_ON_DIR",
  ],
  [32, "slash-ended file with data", archive(good, file("d/", "data")), "E_SIZE_ON_DIR"],
];
