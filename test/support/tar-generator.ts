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
  header,
  pax,
  symlink,
} from "../roles/init-provision/tar-builder.ts";
import { damage, mutate, pick } from "./mutation.ts";
import { between, type Random } from "./seed.ts";

/** Archives as programs write them, and as they should not. */

const names = ["a", "d/", "d/f", "../x", "/etc/x", "a//./b", "\xe4", "x".repeat(100), "", ".."];
const sizes = [0n, 1n, 511n, 512n, 2n ** 31n, 2n ** 33n, 2n ** 53n, 2n ** 62n, -1n];

/** One entry of any kind, with headers before it or without. */
export function anyEntry(random: Random): Uint8Array {
  const name = pick(random, names);
  const own = pick(random, [
    () => file(name, "x".repeat(between(random, 0, 600))),
    () => dir(name),
    () => symlink(name, pick(random, names)),
    () => hardlink(name, pick(random, names)),
    () => fifo(name, { magic: "gnu" }),
    () => device(name, "3", 1, 3),
    () => header({ name, type: "7", magic: "v7", checksum: "signed" }),
    () => header({ name, size: base256(pick(random, sizes), 12), magic: "gnu" }),
    () => header({ name, uid: base256(pick(random, sizes), 8), type: "5", size: 0 }),
  ])();
  return random() < 0.5 ? own : concat(anyMeta(random), own);
}

function anyMeta(random: Random): Uint8Array {
  const keys = [
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "mtime",
    "SCHILY.xattr.user.a",
    "comment",
  ];
  const values = [...names, "0", "17", "4294967295", "1e3", "1700000000.5", "9".repeat(20), "\0"];
  if (random() < 0.3) return gnuLong(pick(random, ["L", "K"]), `${pick(random, names)}\0`);
  const count = between(random, 0, 3);
  const records = Array.from({ length: count }, () => [pick(random, keys), pick(random, values)]);
  return pax(records as [string, string][], random() < 0.2 ? "g" : "x");
}

/** Damage stays in its block, and most checksums are right again: else nothing behind one would be tried. */
export function mutateTar(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random() < 0.1) return mutate(random, corpus);
  const bytes = pick(random, corpus).slice();
  for (let count = between(random, 1, 3); count > 0; count--) {
    const start = 512 * between(random, 0, bytes.length / 512 - 1);
    const at = start + between(random, 0, 511);
    damage(random, bytes.subarray(start, start + 512), at - start);
    if (random() < 0.8 && bytes[start + 156] !== 0) repairChecksum(bytes, start);
  }
  return bytes;
}

function repairChecksum(bytes: Uint8Array, start: number): void {
  let sum = 0x20 * 8;
  for (let at = start; at < start + 512; at++)
    if (at < start + 148 || at >= start + 156) sum += bytes[at] ?? 0;
  bytes.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `, "latin1"), start + 148);
}

/** A whole archive of 1 to 200 entries; one in ten has an entry that tries to get out, somewhere. */
export function anyArchive(random: Random): Uint8Array {
  const count = Math.ceil(200 * random() ** 3);
  const parts = Array.from({ length: count }, (_, index) => harmlessEntry(random, index));
  if (random() < 0.1) parts.splice(between(random, 0, count), 0, ...hostileEntries(random));
  return concat(file("first"), ...parts, endMark);
}

/** Names are used once, folders come before what is in them, links lead anywhere. */
function harmlessEntry(random: Random, index: number): Uint8Array {
  const folder = pick(random, ["", "d/", "d/e/", "bin/", "very/deep/down/here/"]);
  const name = `${folder}${index}`;
  const attributes = { mode: between(random, 0, 0o7777), uid: between(random, 0, 70_000) };
  return pick(random, [
    () => file(name, "x".repeat(between(random, 0, 1500)), attributes),
    () => file(name, "x", attributes),
    () => concat(pax([["path", `${name}${"n".repeat(200)}`]]), file("short")),
    () => concat(gnuLong("L", `${name}${"n".repeat(200)}\0`), file("short", "x", { magic: "gnu" })),
    () => concat(pax([["SCHILY.xattr.user.a", "v"]]), file(name, "x", attributes)),
    () => dir(folder === "" ? `${name}/` : folder, attributes),
    () => symlink(name, pick(random, ["/etc/passwd", "../../outside", "..", "/", "x"])),
    () => hardlink(name, "first"),
    () => fifo(name),
    () => device(name, "3", 1, 3),
  ])();
}

function hostileEntries(random: Random): Uint8Array[] {
  const way = pick(random, ["/", "..", "../..", "../outside", "/tmp"]);
  return pick(random, [
    [file("../outside/secret", "changed")],
    [file("a/../../x", "changed")],
    [symlink("way", way), file("way/secret", "changed")],
    [symlink("way", "../outside"), dir("way/new")],
    [symlink("way", "../outside/secret"), file("way", "changed")],
    [symlink("way", "../outside/secret"), hardlink("name", "way"), file("name", "changed")],
    [hardlink("name", "../outside/secret")],
    [hardlink("name", "/etc/passwd"), file("name", "changed")],
    [symlink("way", "../outside"), hardlink("name", "way/secret")],
    [dir("way"), symlink("way", "../outside"), file("way/secret", "changed")],
    [symlink("one", "two"), symlink("two", "../outside"), file("one/secret", "changed")],
    [concat(pax([["path", "../outside/secret"]]), file("short", "changed"))],
    [concat(gnuLong("L", "../outside/secret\0"), file("short", "changed", { magic: "gnu" }))],
    [file("twice", "one"), symlink("twice", way), file("twice", "two")],
  ]);
}
