import { type Case, content, paths, mtime, good, long } from "./effect.ts";
import { archive, concat, dir, endMark, file, pax, symlink } from "../tar-builder.ts";

/** The frame of the archive, reserved names, times to come (rows 58 to 64, 69, 73, 74). */
export const frameCases: readonly Case[] = [
  [58, "wrong checksum", archive(file("f", "x", { checksum: "wrong" })), "E_CHECKSUM"],
  [58, "zeroed checksum", archive(file("f", "x", { checksum: "zero" })), "E_CHECKSUM"],
  [58, "signed checksum", archive(file("\xe4", "x", { checksum: "signed" })), paths("\xe4")],
  [59, "v7 without magic", archive(file("f", "abc", { magic: "v7" })), content("f", "abc")],
  [
    60,
    "one zero block, then entries",
    archive(good, new Uint8Array(512), file("hidden")),
    "E_AFTER_EOF",
  ],
  [60, "one zero block at the end", concat(good, new Uint8Array(512)), "E_TRUNCATED"],
  [61, "entries after the end", archive(good, endMark, file("hidden")), "E_AFTER_EOF"],
  [61, "one byte after the end", concat(archive(good), new Uint8Array([1])), "E_AFTER_EOF"],
  [61, "zeros after the end", concat(archive(good), new Uint8Array(9000)), paths("good")],
  [62, "no end mark", concat(good), "E_TRUNCATED"],
  [63, "cut in a header", concat(good, good.subarray(0, 100)), "E_TRUNCATED"],
  [63, "cut in data", file("f", long(2000)).subarray(0, 1500), "E_TRUNCATED"],
  [63, "cut in padding", good.subarray(0, 700), "E_TRUNCATED"],
  [63, "cut in a PAX header", concat(good, pax([["path", "a"]]).subarray(0, 515)), "E_TRUNCATED"],
  [64, "nothing", new Uint8Array(0), "E_EMPTY"],
  [64, "only zeros", new Uint8Array(10_240), "E_EMPTY"],
  [64, "no regular file", archive(dir("d"), symlink("l", "d")), "E_EMPTY"],
  [
    69,
    "archives inside are files",
    archive(file("a.tar", archive(file("b.tar", archive(good))))),
    paths("a.tar"),
  ],
  [73, "our folder", archive(file(".fly-vault/state.json")), "E_RESERVED"],
  [73, "the old name of our folder", archive(dir(".fv")), "E_RESERVED"],
  [74, "tomorrow", archive(file("f", "x", { mtime: 4_000_000_000 })), mtime("f", 4_000_000_000)],
];
