import { expect } from "bun:test";
import { readlinkSync } from "node:fs";
import { type Case, content, paths, good, mib } from "./effect.ts";
import {
  archive,
  base256,
  concat,
  dir,
  file,
  gnuLong,
  header,
  pax,
  paxRaw,
  symlink,
} from "../tar-builder.ts";

/** Sizes and the headers before an entry (rows 33 to 44). */
export const metaCases: readonly Case[] = [
  [33, "size 0x81", archive(file("f", "x", { size: base256(1n << 88n, 12) })), "E_SIZE"],
  [
    33,
    "size in base-256",
    archive(file("f", "abc", { size: base256(3n, 12) })),
    content("f", "abc"),
  ],
  [34, "size negative", archive(file("f", "x", { size: base256(-1n, 12) })), "E_SIZE"],
  [34, "size with a minus", archive(file("f", "x", { size: "-0000000010" })), "E_SIZE"],
  [34, "size garbage", archive(file("f", "x", { size: "0000000000x" })), "E_SIZE"],
  [34, "size decimal", archive(file("f", "x", { size: "00000000008" })), "E_SIZE"],
  [34, "size above 2^53", archive(file("f", "x", { size: base256(1n << 54n, 12) })), "E_SIZE"],
  [
    34,
    "size of everything",
    archive(file("f", "x", { size: base256((1n << 53n) - 1n, 12) })),
    "E_LIMIT_BYTES",
  ],
  [35, "size blank on a file", archive(file("f", "", { size: "            " })), "E_SIZE"],
  [
    35,
    "size blank on a directory",
    archive(good, dir("d", { size: "            " })),
    paths("d", "good"),
  ],
  ...["-1", "abc", "1e3", "0x10", "1.5", "", " 1", String(2n ** 60n), "1".repeat(21)].map(
    (size): Case => [36, `PAX size "${size}"`, archive(pax([["size", size]]), good), "E_PAX_SIZE"],
  ),
  [
    37,
    "PAX size wins",
    archive(
      pax([["size", "3"]]),
      concat(
        header({ name: "f", size: 0 }),
        file("", "").subarray(512),
        Buffer.concat([Buffer.from("abc"), Buffer.alloc(509)]),
      ),
      file("g"),
    ),
    (root) => {
      content("f", "abc")(root);
      content("g", "x")(root);
    },
  ],
  [
    38,
    "PAX then GNU name",
    archive(pax([["size", "3"]]), gnuLong("L", "name\0"), good),
    "E_META_MIX",
  ],
  [
    38,
    "GNU name then PAX",
    archive(gnuLong("L", "name\0"), pax([["size", "3"]]), good),
    "E_META_MIX",
  ],
  [
    38,
    "GNU link name then PAX",
    archive(gnuLong("K", "name\0"), pax([["size", "3"]]), good),
    "E_META_MIX",
  ],
  ...[
    "99 path=evil\n",
    "0 path=evil\n",
    "-5 path=evil\n",
    "10 pathevil\n",
    "12 path=evilX",
    "x path=evil\n",
    "13path=evil\n",
    "5 =\n",
    "3 a",
    "999999999 a=b\n",
    "12 path=evil\n5",
    "14 pa\0th=evil\n",
  ].map((body): Case => [
    39,
    `PAX record ${JSON.stringify(body)}`,
    archive(paxRaw(body), good),
    "E_PAX_SYNTAX",
  ]),
  [
    40,
    "PAX path twice",
    archive(
      pax([
        ["path", "a"],
        ["path", "b"],
      ]),
      good,
    ),
    "E_PAX_SYNTAX",
  ],
  [
    40,
    "PAX size twice",
    archive(
      pax([
        ["size", "1"],
        ["size", "2"],
      ]),
      good,
    ),
    "E_PAX_SYNTAX",
  ],
  [
    40,
    "PAX keys of objects",
    archive(
      pax([
        ["__proto__", "a"],
        ["constructor", "b"],
        ["toString", "c"],
      ]),
      good,
    ),
    paths("good"),
  ],
  ...["path", "linkpath", "size", "uid", "mtime", "GNU.sparse.major", "SCHILY.xattr.user.a"].map(
    (key): Case => [41, `global PAX ${key}`, archive(pax([[key, "1"]], "g"), good), "E_PAX_GLOBAL"],
  ),
  [41, "global PAX comment", archive(pax([["comment", "commit"]], "g"), good), paths("good")],
  [42, "PAX without an entry", archive(good, pax([["path", "a"]])), "E_META_ORPHAN"],
  [42, "GNU name without an entry", archive(good, gnuLong("L", "a\0")), "E_META_ORPHAN"],
  [42, "PAX twice", archive(pax([["path", "a"]]), pax([["path", "b"]]), good), "E_META_REPEAT"],
  [42, "GNU name twice", archive(gnuLong("L", "a\0"), gnuLong("L", "b\0"), good), "E_META_REPEAT"],
  [
    42,
    "global between PAX and entry",
    archive(pax([["path", "a"]]), pax([["comment", "b"]], "g"), good),
    "E_META_REPEAT",
  ],
  [
    42,
    "nine globals in a row",
    archive(...Array.from({ length: 9 }, () => pax([["comment", "b"]], "g")), good),
    "E_META_REPEAT",
  ],
  ...(["x", "g", "L", "K"] as const).map((type): Case => [
    43,
    `"${type}" of 1 GiB`,
    header({ type, size: 1024 * mib }),
    "E_META_SIZE",
  ]),
  [43, "PAX of 1 MiB and 1", header({ type: "x", size: mib + 1 }), "E_META_SIZE"],
  [44, "GNU name without zero", archive(gnuLong("L", "name"), good), paths("name")],
  [
    44,
    "GNU name that goes on behind its size",
    archive(gnuLong("L", "name").fill(0x61, 516, 517), good),
    "E_META_SIZE",
  ],
  [44, "GNU name with two zeros", archive(gnuLong("L", "name\0more\0"), good), paths("name")],
  [
    44,
    "GNU name and link name",
    archive(good, gnuLong("K", "target\0"), gnuLong("L", "name\0"), symlink("l", "x")),
    (root) => expect(readlinkSync(root.path("name"), "latin1")).toBe("target"),
  ],
];
