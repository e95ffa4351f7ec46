import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { type Case, type Effect, paths, good, long } from "./effect.ts";
import { oldGnu, type Pair, pax00, pax01, pax10, type SparseParts } from "../sparse-builder.ts";
import { archive, base256, concat, dir, file, hardlink, pax, symlink } from "../tar-builder.ts";

/** Sparse files in all formats, and maps that lie (row 45). */

const formats = { "old GNU": oldGnu, "0.0": pax00, "0.1": pax01, "1.0": pax10 } as const;

/** The same file in every format, with the same effect. */
function inEveryFormat(title: string, parts: SparseParts, effect: Effect): readonly Case[] {
  return Object.entries(formats).map(([format, build]): Case => [
    45,
    `sparse ${format}: ${title}`,
    archive(good, build(parts), file("after")),
    effect,
  ]);
}

function holds(expected: string): Effect {
  return (root) => {
    expect(readFileSync(root.path("s"), "latin1")).toBe(expected);
    paths("after", "good", "s")(root);
  };
}

const zeros = (count: number) => "\0".repeat(count);
const a = "a".repeat(512);
const b = "b".repeat(512);
const tiny: SparseParts = {
  sizeBytes: 1500,
  pairs: [
    [0, 512],
    [1024, 476],
  ],
  data: a + "c".repeat(476),
};
const many = Array.from({ length: 60 }, (_, index): Pair => [index * 1024, 512]);

/** Fills one block and stops in the middle of a number. */
export const endlessLines = `20\n${`${"0".repeat(16)}\n`.repeat(29)}${"0".repeat(16)}`;

const accepted: readonly Case[] = [
  ...inEveryFormat("data, hole, data", tiny, holds(`${a}${zeros(512)}${"c".repeat(476)}`)),
  ...inEveryFormat(
    "holes at both ends",
    {
      sizeBytes: 3000,
      pairs: [
        [1024, 512],
        [3000, 0],
      ],
      data: a,
    },
    holds(`${zeros(1024)}${a}${zeros(1464)}`),
  ),
  ...inEveryFormat(
    "one hole",
    { sizeBytes: 100_000, pairs: [[100_000, 0]] },
    holds(zeros(100_000)),
  ),
  ...inEveryFormat("nothing at all", { sizeBytes: 0, pairs: [[0, 0]] }, holds("")),
  ...inEveryFormat(
    "segments that touch",
    {
      sizeBytes: 1024,
      pairs: [
        [0, 512],
        [512, 512],
      ],
      data: a + b,
    },
    holds(a + b),
  ),
  ...inEveryFormat(
    "empty segments",
    {
      sizeBytes: 1500,
      pairs: [
        [0, 0],
        [512, 700],
        [1212, 0],
        [1500, 0],
      ],
      data: "c".repeat(700),
    },
    holds(`${zeros(512)}${"c".repeat(700)}${zeros(288)}`),
  ),
  ...inEveryFormat(
    "sixty segments",
    { sizeBytes: 59 * 1024 + 512, pairs: many, data: a.repeat(60) },
    holds(Array.from({ length: 60 }, () => a).join(zeros(512))),
  ),
];

const refused: readonly Case[] = [
  ...(
    [
      [
        "overlap",
        {
          sizeBytes: 1024,
          pairs: [
            [0, 512],
            [511, 513],
          ],
          data: a + b + "c",
        },
      ],
      [
        "out of order",
        {
          sizeBytes: 1024,
          pairs: [
            [512, 512],
            [0, 512],
          ],
          data: a + b,
        },
      ],
      ["beyond the end", { sizeBytes: 1000, pairs: [[512, 512]], data: a }],
      ["size smaller than the data", { sizeBytes: 100, pairs: [[0, 512]], data: a }],
      ["offset no number", { sizeBytes: 1024, pairs: [["x", 512]], data: a }],
      ["size no number", { sizeBytes: 1024, pairs: [[512, "5x"]], data: a }],
      ["offset negative", { sizeBytes: 512, pairs: [["-1", 512]], data: a }],
      ["size negative", { sizeBytes: 512, pairs: [[512, "-5"]], data: "" }],
      ["file size negative", { sizeBytes: "-5", pairs: [[0, 512]], data: a }],
      ["file size no number", { sizeBytes: "many", pairs: [[0, 512]], data: a }],
      ["no mark of the hole at the end", { sizeBytes: 2000, pairs: [[0, 512]], data: a }],
      [
        "mark of the end before the end",
        {
          sizeBytes: 2000,
          pairs: [
            [0, 512],
            [1000, 0],
          ],
          data: a,
        },
      ],
      [
        "a segment of half a block",
        {
          sizeBytes: 1024,
          pairs: [
            [0, 100],
            [512, 512],
          ],
          data: "c".repeat(612),
        },
      ],
      ["segments longer than the data", { sizeBytes: 1024, pairs: [[0, 1024]], data: a }],
      ["segments shorter than the data", { sizeBytes: 512, pairs: [[0, 512]], data: a + b }],
      ["no segment of a file", { sizeBytes: 512, pairs: [], data: "" }],
    ] as const satisfies readonly (readonly [string, SparseParts])[]
  ).flatMap(([title, parts]) => inEveryFormat(title, parts, "E_SPARSE")),

  [45, "type S without a table", archive(file("s", "x", { type: "S", magic: "gnu" })), "E_SPARSE"],
  [45, "type S in a POSIX archive", archive(oldGnu(tiny, { magic: "ustar" })), "E_SPARSE"],
  [45, "type S without a magic", archive(oldGnu(tiny, { magic: "v7" })), "E_SPARSE"],
  [45, "type S with a PAX header", archive(pax([["mtime", "5"]]), oldGnu(tiny)), "E_META_MIX"],
  [45, "type S of a directory", archive(oldGnu({ ...tiny, name: "s/" })), "E_SPARSE"],
  [45, "type S of a negative size", archive(oldGnu(tiny, { size: base256(-512n, 12) })), "E_SIZE"],
  [
    45,
    "a table that goes on behind its end",
    archive(withByte(oldGnu({ sizeBytes: 512, pairs: [[0, 512]], data: a }), 482, 1)),
    "E_SPARSE",
  ],
  [
    45,
    "a gap in the table",
    archive(
      oldGnu({
        sizeBytes: 1024,
        pairs: [
          [0, 512],
          ["", ""],
          [512, 512],
        ],
        data: a + b,
      }),
    ),
    "E_SPARSE",
  ],
  [
    45,
    "a table cut short",
    oldGnu({ ...tiny, sizeBytes: 60 * 1024, pairs: many }).subarray(0, 512 + 100),
    "E_TRUNCATED",
  ],
  ...[
    ["nothing", ""],
    ["no number", "x\n"],
    ["a count that is negative", "-1\n"],
    ["a count with a space", "1 \n0\n512\n"],
    ["an empty line", "1\n\n0\n512\n"],
    ["a number too long", "1\n00000000000000000\n512\n"],
    ["fewer lines than it says", "2\n0\n512\n"],
    ["a count of everything", "9007199254740991\n0\n512\n"],
  ].map(([title, lines]): Case => [
    45,
    `sparse 1.0: a map with ${title}`,
    archive(pax10({ sizeBytes: 512, lines: lines ?? "", data: a })),
    "E_SPARSE",
  ]),
  [
    45,
    "sparse 1.0: a map longer than the data",
    archive(pax10({ sizeBytes: 512, lines: endlessLines }), good),
    "E_SPARSE",
  ],
  [
    45,
    "sparse 1.0: cut short in the map",
    pax10({ sizeBytes: 512, lines: "1\n0\n512\n" }).subarray(0, 1024 + 512 + 5),
    "E_TRUNCATED",
  ],
  [
    45,
    "sparse 0.1: one number too few",
    archive(
      sparsePax([
        ["GNU.sparse.size", "512"],
        ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.map", "0"],
      ]),
    ),
    "E_SPARSE",
  ],
  [45, "sparse 0.1: no pairs", archive(pax01({ sizeBytes: 0, pairs: [] })), "E_SPARSE"],
  [
    45,
    "sparse 0.1: another count than pairs",
    archive(
      sparsePax([
        ["GNU.sparse.size", "512"],
        ["GNU.sparse.numblocks", "2"],
        ["GNU.sparse.map", "0,512"],
      ]),
    ),
    "E_SPARSE",
  ],
  [
    45,
    "sparse 0.0: sizes before offsets",
    archive(
      sparsePax([
        ["GNU.sparse.size", "512"],
        ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.numbytes", "512"],
        ["GNU.sparse.offset", "0"],
      ]),
    ),
    "E_SPARSE",
  ],
  [
    45,
    "sparse 0.0: a list in a number",
    archive(
      sparsePax([
        ["GNU.sparse.size", "512"],
        ["GNU.sparse.numblocks", "1"],
        ["GNU.sparse.offset", "0,512,512"],
        ["GNU.sparse.numbytes", "0"],
      ]),
    ),
    "E_SPARSE",
  ],
  [45, "versions 0.0 and 0.1", archive(pax00(tiny, [["GNU.sparse.map", "0,512"]])), "E_SPARSE"],
  [45, "versions 0.1 and 1.0", archive(pax01(tiny, [["GNU.sparse.major", "1"]])), "E_SPARSE"],
  [45, "version 1.1", archive(withMinor("1")), "E_SPARSE"],
  [45, "version 2.0", archive(withMinor("0", "2")), "E_SPARSE"],
  [45, "a record of tomorrow", archive(pax10(tiny, [["GNU.sparse.compress", "1"]])), "E_SPARSE"],
  [45, "a size twice", archive(pax10(tiny, [["GNU.sparse.realsize", "5"]])), "E_PAX_SYNTAX"],
  ...["major", "minor", "map", "size", "name", "offset", "realsize", "numblocks"].map(
    (key): Case => [
      45,
      `only GNU.sparse.${key}`,
      archive(pax([[`GNU.sparse.${key}`, "1"]]), good),
      "E_SPARSE",
    ],
  ),
  [45, "star's way", archive(pax([["SCHILY.realsize", "1"]]), good), "E_SPARSE"],
  [45, "name with dotdot", archive(pax10({ ...tiny, name: "a/../../s" })), "E_PATH_DOTDOT"],
  [45, "name with a zero", archive(pax10({ ...tiny, name: "a\0b" })), "E_PAX_NUL"],
  [45, "no name", archive(pax10({ ...tiny, name: "" })), "E_PATH_EMPTY"],
  [45, "name too long", archive(pax10({ ...tiny, name: long(256) })), "E_PATH_LONG"],
  [45, "name of a directory", archive(pax10({ ...tiny, name: "s/" })), "E_SPARSE"],
  [45, "name of a layer", archive(pax01({ ...tiny, name: ".wh.s" })), "E_LAYER_TAR"],
  [45, "name twice", archive(pax10(tiny), pax01(tiny)), "E_DUPLICATE"],
  [
    45,
    "through a link",
    archive(symlink("l", ".."), pax10({ ...tiny, name: "l/s" })),
    "E_PARENT_SYMLINK",
  ],
  ...([dir("d"), symlink("l", "x"), hardlink("h", "good")] as const).map((entry): Case => [
    45,
    `sparse records before type ${String.fromCharCode(entry[156] ?? 0)}`,
    archive(good, pax01(tiny).subarray(0, 1024), entry),
    "E_SPARSE",
  ]),
  [
    45,
    "sparse records before a GNU header",
    archive(pax01(tiny).subarray(0, 1024), file("s", tiny.data ?? "", { magic: "gnu" })),
    "E_SPARSE",
  ],
  [45, "1 TiB of nothing", archive(...huge(129)), "E_LIMIT_BYTES"],
  [45, "sparse records for all", archive(globalSparse(), good), "E_PAX_GLOBAL"],
];

/** So many files of 8 GiB of nothing. */
function huge(count: number): Uint8Array[] {
  const sizeBytes = 8 ** 11 - 1;
  return Array.from({ length: count }, (_, index) =>
    oldGnu({ name: `s${index}`, sizeBytes, pairs: [[sizeBytes, 0]] }),
  );
}

function sparsePax(records: readonly (readonly [string, string])[]): Uint8Array {
  return concat(pax(records), file("s", a));
}

function withMinor(minor: string, major = "1"): Uint8Array {
  const map = Buffer.from("1\n0\n512\n");
  return concat(
    pax([
      ["GNU.sparse.major", major],
      ["GNU.sparse.minor", minor],
      ["GNU.sparse.realsize", "512"],
    ]),
    file("s", concat(map, new Uint8Array(512 - map.length), Buffer.from(a))),
  );
}

function globalSparse(): Uint8Array {
  return pax(
    [
      ["GNU.sparse.offset", "0"],
      ["GNU.sparse.numbytes", "512"],
    ],
    "g",
  );
}

function withByte(entry: Uint8Array, at: number, value: number): Uint8Array {
  const changed = entry.slice();
  changed[at] = value;
  changed.fill(0x20, 148, 156);
  const sum = changed.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  changed.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return changed;
}

export const sparseCases: readonly Case[] = [...accepted, ...refused];
