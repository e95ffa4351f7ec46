import { pick } from "../../support/mutation.ts";
import { between, type Random } from "../../support/seed.ts";
import { oldGnu, type Pair, pax00, pax01, pax10 } from "./sparse-builder.ts";
import {
  base256,
  concat,
  device,
  dir,
  endMark,
  fifo,
  file,
  gnuLong,
  hardlink,
  type HeaderFields,
  pax,
  symlink,
} from "./tar-builder.ts";

/** Archives that programs could have written, old and odd ones among them, some with a byte wrong. */
export function oddArchive(random: Random): Uint8Array {
  const count = between(random, 1, 6);
  const parts = Array.from({ length: count }, () => oddEntry(random));
  const bytes = concat(
    file("first"),
    ...parts,
    endMark,
    new Uint8Array(pick(random, [0, 512, 9216])),
  );
  if (random() < 0.4)
    for (let times = between(random, 1, 3); times > 0; times--) damage(random, bytes);
  return bytes;
}

const names = [
  "a",
  "b/c",
  "./d",
  "/e",
  "f/",
  "g//h/./i",
  "...",
  "-rf",
  "a b ",
  'quo"te\\',
  "new\nline\t",
  "\xe4\xff",
  "\xc3\xa9",
  "n".repeat(100),
  `${"p".repeat(60)}/${"q".repeat(39)}`,
  "tail\0garbage",
];
const rareNames = ["", ".", "./", "/", "..", "a/../b", ".wh.x", ".fv"];

function oddName(random: Random): string {
  return pick(random, random() < 0.05 ? rareNames : names);
}

function oddEntry(random: Random): Uint8Array {
  const name = oddName(random);
  const fields = oddFields(random);
  const content = "x".repeat(pick(random, [0, 1, 511, 512, 513, 1000]));
  const own = pick(random, [
    () => file(name, content, fields),
    () => file(name, content, { ...fields, size: oddNumber(random, content.length, 12) }),
    () => file(name, content, { ...fields, type: pick(random, ["\0", "7"]) }),
    () => dir(name, fields),
    () => symlink(name, oddName(random), fields),
    () => hardlink(name, pick(random, ["first", "./first", "/first", "first/"]), fields),
    () => fifo(name, fields),
    () => device(name, pick(random, ["3", "4"]), between(random, 0, 300), between(random, 0, 300)),
    () => oddSparse(random, name),
  ])();
  const choice = random();
  if (choice < 0.25) return concat(oddPax(random, content.length), own);
  if (choice < 0.4) return concat(oddLong(random), own);
  return own;
}

function oddFields(random: Random): HeaderFields {
  const fields: HeaderFields = {
    magic: pick(random, ["ustar", "ustar", "gnu", "gnu", "v7"]),
    mode: oddNumber(random, between(random, 0, 0o7777), 8),
    uid: oddNumber(random, between(random, 0, 100_000), 8),
    gid: oddNumber(random, between(random, 0, 100_000), 8),
    mtime: oddNumber(random, between(random, 0, 2 ** 31), 12),
  };
  if (random() < 0.2)
    fields.prefix = pick(random, ["p", "p/q", "/p", "r".repeat(154), "s".repeat(155)]);
  if (random() < 0.1) fields.link = "left over";
  return fields;
}

/** The same number in one of the ways fields have been written. */
function oddNumber(random: Random, value: number, length: number): string | Uint8Array {
  const octal = value.toString(8);
  return pick(random, [
    octal.padStart(length - 1, "0"),
    `${octal.padStart(length - 2, " ")} `,
    `${octal.padStart(length - 2, " ")}\0`,
    `${octal.padStart(length - 2, "0")} `,
    octal,
    base256(BigInt(value), length),
  ]);
}

function oddPax(random: Random, size: number): Uint8Array {
  const records: (readonly [string, string])[] = [];
  const add = (key: string, ...values: string[]) => {
    if (random() < 0.3) records.push([key, pick(random, values)]);
  };
  add("path", ...names, ...rareNames);
  add("linkpath", "first", "somewhere/else", "/absolute");
  add("size", String(size), `0${size}`);
  add("uid", "0", "70000", "4294967294");
  add("gid", "0", "070000");
  add("mtime", "1700000000", "1700000000.123456789", "0.5");
  add("SCHILY.xattr.user.a", "value");
  add("comment", "words = and = more");
  add("vendor.unknown", "x");
  return pax(records, random() < 0.1 ? "g" : "x");
}

function oddLong(random: Random): Uint8Array {
  const long = (type: "L" | "K") =>
    gnuLong(type, oddName(random) + pick(random, ["", "\0", "\0more"]));
  return pick(random, [
    () => long("L"),
    () => long("K"),
    () => concat(long("K"), long("L")),
    () => concat(long("L"), long("K")),
  ])();
}

function oddSparse(random: Random, name: string): Uint8Array {
  const pairs: Pair[] = [];
  let at = 0;
  let stored = 0;
  for (let count = between(random, 0, 30); count > 0; count--) {
    at += pick(random, [0, 512, 1000, 4096]);
    const size = pick(random, [0, 512, 512, 1024, count === 1 ? 100 : 512]);
    pairs.push([at, size]);
    at += size;
    stored += size;
  }
  const end = at + pick(random, [0, 0, 1, 5000]);
  if (end > at || random() < 0.5) pairs.push([end, 0]);
  const parts = { name, sizeBytes: end, pairs, data: "d".repeat(stored) };
  return pick(random, [oldGnu, pax00, pax01, pax10])(parts);
}

/** One byte, and the checksum of its block right again, where the block is a header. */
function damage(random: Random, bytes: Uint8Array): void {
  const at = between(random, 0, bytes.length - 1);
  bytes[at] = pick(random, [0, 0x20, 0x2f, 0x30, 0x37, 0x80, 0xff, between(random, 0, 255)]);
  const block = bytes.subarray(at - (at % 512), at - (at % 512) + 512);
  if (Buffer.from(block.subarray(257, 262)).toString("latin1") !== "ustar") return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `, "latin1"), 148);
}
