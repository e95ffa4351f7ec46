import { expect } from "bun:test";
import { lstatSync } from "node:fs";
import {
  type Case,
  content,
  paths,
  mode,
  mtime,
  owner,
  skips,
  good,
  long,
  cap,
  getfattr,
} from "./effect.ts";
import { archive, base256, device, dir, fifo, file, pax } from "../tar-builder.ts";

/** Types, modes, owners, times, attributes (rows 46 to 57). */
export const attributeCases: readonly Case[] = [
  ...["D", "M", "V", "N", "A", "Z", "X", "8", "\x01"].map((type): Case => [
    46,
    `type ${JSON.stringify(type)}`,
    archive(file("f", "x", { type })),
    "E_TYPE",
  ]),
  [46, "type 7", archive(file("f", "abc", { type: "7" })), content("f", "abc")],
  [
    47,
    "old directory",
    archive(good, file("d/", "", { type: "\0" })),
    (root) => expect(lstatSync(root.path("d")).isDirectory()).toBe(true),
  ],
  [47, "old file", archive(file("f", "abc", { type: "\0" })), content("f", "abc")],
  [
    48,
    "/dev/null",
    archive(good, device("dev/null", "3", 1, 3)),
    skips("character device", "dev/null"),
  ],
  [48, "a device makes nothing", archive(good, device("null", "3", 1, 3)), paths("good")],
  [48, "/dev/tty", archive(good, device("dev/tty", "3", 5, 0)), skips("character device")],
  [49, "block device", archive(good, device("dev/sda", "4", 8, 0)), skips("block device")],
  [49, "/dev/mem", archive(good, device("dev/mem", "3", 1, 1)), skips("character device")],
  [
    49,
    "devices of drivers",
    archive(good, device("dev/kvm", "3", 10, 232), device("dev/fuse", "3", 10, 229)),
    skips("2 × character device, first dev/kvm"),
  ],
  [
    50,
    "FIFO",
    archive(good, fifo("p", { mode: 0o620 })),
    (root) => {
      expect(lstatSync(root.path("p")).isFIFO()).toBe(true);
      mode("p", 0o620)(root);
    },
  ],
  [51, "mode 07777", archive(file("f", "x", { mode: 0o7777, uid: 7, gid: 7 })), mode("f", 0o7777)],
  [
    51,
    "mode 04755 of another's",
    archive(file("f", "x", { mode: 0o4755, uid: 7, gid: 7 })),
    mode("f", 0o4755),
  ],
  [51, "sticky directory", archive(good, dir("tmp", { mode: 0o1777 })), mode("tmp", 0o1777)],
  [
    51,
    "unreadable directory with content",
    archive(dir("d", { mode: 0 }), file("d/f")),
    mode("d", 0),
  ],
  [51, "type bits in the mode", archive(file("f", "x", { mode: 0o100600 })), mode("f", 0o600)],
  [52, "uid 2^21", archive(file("f", "x", { uid: base256(1n << 21n, 8) })), owner("f", 2 ** 21)],
  [
    52,
    "uid 2^32-2",
    archive(file("f", "x", { uid: base256((1n << 32n) - 2n, 8) })),
    owner("f", 2 ** 32 - 2),
  ],
  [52, "uid 2^32-1", archive(file("f", "x", { uid: base256((1n << 32n) - 1n, 8) })), "E_ID"],
  [52, "gid negative", archive(file("f", "x", { gid: base256(-2n, 8) })), "E_ID"],
  [52, "PAX uid", archive(pax([["uid", "70000000"]]), good), owner("good", 70_000_000)],
  [52, "PAX uid too big", archive(pax([["uid", "4294967295"]]), good), "E_ID"],
  [52, "PAX gid no number", archive(pax([["gid", "-1"]]), good), "E_ID"],
  [53, "mtime negative", archive(file("f", "x", { mtime: base256(-5n, 12) })), mtime("f", 0)],
  [
    53,
    "mtime 2^40",
    archive(file("f", "x", { mtime: base256(1n << 40n, 12) })),
    mtime("f", 2 ** 33),
  ],
  [53, "mtime garbage", archive(file("f", "x", { mtime: "NaN" })), mtime("f", 0)],
  [53, "PAX mtime NaN", archive(pax([["mtime", "NaN"]]), good), mtime("good", 0)],
  [
    53,
    "PAX mtime with a fraction",
    archive(pax([["mtime", "1700000000.25"]]), good),
    mtime("good", 1_700_000_000.25),
  ],
  [53, "PAX mtime negative", archive(pax([["mtime", "-1.5"]]), good), mtime("good", 0)],
  [
    54,
    "file capability",
    archive(pax([["SCHILY.xattr.security.capability", cap]]), good),
    (root, skipped) => {
      expect(skipped).toEqual([]);
      expect(getfattr(root.path("good").toString(), "security.capability")).toEqual(cap);
    },
  ],
  ...[
    "trusted.overlay.opaque",
    "trusted.fv.gen",
    "security.selinux",
    "security.ima",
    "user.overlay.opaque",
    "system.posix_acl_access",
  ].map((name): Case => [
    55,
    name,
    archive(pax([[`SCHILY.xattr.${name}`, "x"]]), good),
    (root, skipped) => {
      skips(name)(root, skipped);
      expect(getfattr(root.path("good").toString(), name)).toBeUndefined();
    },
  ]),
  [
    56,
    "attribute name of 256",
    archive(pax([[`SCHILY.xattr.user.${long(251)}`, "x"]]), good),
    "E_XATTR",
  ],
  [
    56,
    "attribute of 64 KiB and 1",
    archive(pax([["SCHILY.xattr.user.a", long(65_537)]]), good),
    "E_XATTR",
  ],
  [
    56,
    "65 attributes",
    archive(
      pax(Array.from({ length: 65 }, (_, i) => [`SCHILY.xattr.user.a${i}`, "x"] as const)),
      good,
    ),
    "E_XATTR",
  ],
  [
    56,
    "capability that is none",
    archive(pax([["SCHILY.xattr.security.capability", "nonsense"]]), good),
    skips("security.capability"),
  ],
  [
    56,
    "two values of one attribute",
    archive(
      pax([
        ["SCHILY.xattr.user.a", "b"],
        ["LIBARCHIVE.xattr.user.a", "Yw"],
      ]),
      good,
    ),
    "E_XATTR",
  ],
  ...["Y", "!!!!", "YQ=a", "Y Q"].map((value): Case => [
    56,
    `attribute that is no base64: ${value}`,
    archive(pax([["LIBARCHIVE.xattr.user.a", value]]), good),
    "E_XATTR",
  ]),
  [56, "attribute without a name", archive(pax([["LIBARCHIVE.xattr.", "YQ"]]), good), "E_XATTR"],
  [56, "attribute with a zero", archive(pax([["LIBARCHIVE.xattr.a%00b", "YQ"]]), good), "E_XATTR"],
  [
    55,
    "attributes of libarchive, with and without padding",
    archive(
      pax([
        ["LIBARCHIVE.xattr.user.a%3Db%20c", "YQ=="],
        ["LIBARCHIVE.xattr.user.d", "Yg"],
        ["SCHILY.xattr.user.d", "b"],
        ["LIBARCHIVE.xattr.trusted.fv.gen", "Yg"],
      ]),
      good,
    ),
    (root, skipped) => {
      const path = root.path("good").toString();
      expect(getfattr(path, "user.a=b c")?.toString()).toBe("a");
      expect(getfattr(path, "user.d")?.toString()).toBe("b");
      expect(skipped).toEqual(["1 × attribute trusted.fv.gen, first good"]);
    },
  ],
  ...[
    "SCHILY.acl.access",
    "SCHILY.acl.default",
    "SCHILY.fflags",
    "RHT.security.selinux",
    "LIBARCHIVE.symlinktype",
    "MSWINDOWS.rawsd",
  ].map((key): Case => [
    55,
    `${key} is not kept, and that is said`,
    archive(pax([[key, "x"]]), good, pax([[key, "y"]]), file("other")),
    (_root, skipped) => expect(skipped).toEqual([`2 × PAX ${key}, first good`]),
  ]),
  [
    55,
    "nothing is said of what no file could keep",
    archive(
      pax([
        ["atime", "5"],
        ["ctime", "5"],
        ["uname", "root"],
        ["SCHILY.dev", "5"],
        ["hdrcharset", "BINARY"],
      ]),
      good,
    ),
    (_root, skipped) => expect(skipped).toEqual([]),
  ],
  ...[".wh.foo", ".wh..wh..opq", ".wh.", ".wh...", "a/.wh.x/b", ".wh.../../outside"].map(
    (name): Case => [57, name, archive(file(name)), "E_LAYER_TAR"],
  ),
];
