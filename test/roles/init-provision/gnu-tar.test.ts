import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  readFileSync,
  linkSync,
  mkdirSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
  chownSync,
  lutimesSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { attributes, listing, Scratch, unpackInto } from "./scratch.ts";
import { archive, dir, file, gnuLong, hardlink, pax, symlink } from "./tar-builder.ts";
import { run } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/** What GNU tar packs and unpacks, we unpack to the same: names, kinds, modes, owners, links, times, content, attributes. */
const seed = Number(process.env["FV_SEED"]) || undefined;

function makeTree(root: string, longPaths: boolean): void {
  const at = (name: string) =>
    Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);
  const put = (name: string, content: string, mode = 0o644, [uid, gid] = [0, 0]) => {
    writeFileSync(at(name), content);
    chownSync(at(name), uid, gid);
    chmodSync(at(name), mode);
  };
  for (const name of ["usr", "usr/bin", "tmp", "home", "home/user", "closed", "empty"])
    mkdirSync(at(name));
  put("usr/bin/sudo", "setuid", 0o4755);
  put("usr/bin/wall", "setgid", 0o2755, [0, 5]);
  put("usr/bin/ping", "capable", 0o755);
  put("home/user/notes", "x".repeat(100_000), 0o600, [1000, 1000]);
  put("empty-file", "");
  put("block", "b".repeat(512));
  put("block-and-one", "b".repeat(513));
  put("with space and \\ and \xc3\xa9 and \n", "odd");
  put("latin-\xe4\xff", "bytes");
  put("-rf", "dash");
  put("closed/inside", "deep", 0o400, [70_000, 70_001]);
  linkSync(at("usr/bin/sudo"), at("usr/bin/sudoedit"));
  linkSync(at("usr/bin/sudo"), at("home/user/sudo"));
  symlinkSync("usr/bin", at("bin"));
  symlinkSync("/nowhere/at/all", at("dangling"));
  symlinkSync("../../etc/passwd", at("home/user/up"));
  run("mkfifo", "-m", "620", join(root, "pipe"));
  if (longPaths) {
    const long = `${"d".repeat(120)}/${"e".repeat(120)}`;
    mkdirSync(at(long), { recursive: true });
    put(`${long}/${"f".repeat(200)}`, "long");
    symlinkSync("t".repeat(300), at(`${long}/link`));
  }
  chmodSync(at("tmp"), 0o1777);
  chownSync(at("home/user"), 1000, 1000);
  chmodSync(at("closed"), 0o500);
  lutimesSync(at("dangling"), 1_500_000_000, 1_500_000_000);
  run("touch", "-d", "@1400000000.123456789", join(root, "usr/bin/ping"));
  run("touch", "-d", "@1300000000", join(root, "closed"));
}

function setAttributes(root: string): void {
  run("setfattr", "-n", "user.note", "-v", "a = b % c\nline", join(root, "block"));
  run("setcap", "cap_net_raw+ep", join(root, "usr/bin/ping"));
  run("setfattr", "-n", "user.on-folder", "-v", "yes", join(root, "home"));
}

describe("an archive of GNU tar", () => {
  for (const format of ["gnu", "pax", "ustar", "v7", "oldgnu"] as const) {
    test(`in ${format} format unpacks as GNU tar unpacks it`, () => {
      using tree = new Scratch();
      using ours = new Scratch();
      using theirs = new Scratch();
      const longPaths = format === "gnu" || format === "pax" || format === "oldgnu";
      makeTree(tree.root, longPaths);
      const packed = join(tree.dir, "packed.tar");
      const withAttributes = format === "pax";
      if (withAttributes) setAttributes(tree.root);
      // v7 knows no FIFO.
      if (format === "v7") run("rm", join(tree.root, "pipe"));
      const xattrs = withAttributes ? ["--xattrs", "--xattrs-include=*"] : [];
      run(
        "tar",
        `--format=${format}`,
        ...xattrs,
        "--numeric-owner",
        "-C",
        tree.root,
        "-cf",
        packed,
        ".",
      );
      run("tar", ...xattrs, "--numeric-owner", "-C", theirs.root, "-xpf", packed);
      unpackInto(ours.root, readFileSync(packed));
      expect(listing(ours.root)).toEqual(listing(theirs.root));
      expect(listing(ours.root).length).toBeGreaterThan(20);
      expect(attributes(ours.root)).toEqual(attributes(theirs.root));
      if (withAttributes) expect(attributes(ours.root)).toContain("security.capability");
    });
  }
});

const name = fc
  .uint8Array({ minLength: 1, maxLength: 120 })
  .map((bytes) =>
    Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))).toString(
      "latin1",
    ),
  )
  .filter(
    (text) => text !== "." && text !== ".." && !text.startsWith(".wh.") && !text.startsWith(".f"),
  );

const leaf = fc.record({
  kind: fc.constantFrom("file", "directory", "symlink", "hardlink"),
  folder: fc.nat(),
  name,
  content: fc.uint8Array({ maxLength: 1500 }),
  target: name,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 100_000 }),
  mtime: fc.integer({ min: 0, max: 2 ** 31 }),
  long: fc.constantFrom("pax", "gnu"),
  link: fc.nat(),
});

/** Any tree, packed by ourselves in any dialect: what comes out is what went in. */
test("generated archives round trip, in any slices", () => {
  fc.assert(
    fc.property(
      fc.array(leaf, { maxLength: 25 }),
      fc.integer({ min: 1, max: 5000 }),
      (leaves, slice) => {
        using scratch = new Scratch();
        const parts: Uint8Array[] = [file("first", "there is a file")];
        const folders = [""];
        const files = ["first"];
        const expected = new Map<string, object>();
        for (const one of leaves) {
          const path = `${folders[one.folder % folders.length]}${one.name}`;
          if (expected.has(path) || path === "first") continue;
          const fields = { mode: one.mode, uid: one.uid, mtime: one.mtime };
          const target = files[one.link % files.length] ?? "";
          const link = one.kind === "hardlink" ? target : one.target;
          // Always by an extended header, so that no field of 100 bytes gets in the way.
          if (one.long === "pax")
            parts.push(
              pax([
                ["path", path],
                ["linkpath", link],
              ]),
            );
          else parts.push(gnuLong("K", `${link}\0`), gnuLong("L", `${path}\0`));
          if (one.kind === "file") {
            parts.push(file("x", one.content, fields));
            files.push(path);
            expected.set(path, {
              mode: one.mode.toString(8),
              size: one.content.length,
              owner: `${one.uid}:0`,
              mtime: `${one.mtime}000000000`.replace(/^0+(?=\d)/, ""),
            });
          } else if (one.kind === "directory") {
            parts.push(dir("x", fields));
            folders.push(`${path}/`);
            expected.set(path, {
              kind: "40000",
              mode: one.mode.toString(8),
              owner: `${one.uid}:0`,
              mtime: `${one.mtime}000000000`.replace(/^0+(?=\d)/, ""),
            });
          } else if (one.kind === "symlink") {
            parts.push(symlink("x", "x", fields));
            expected.set(path, { kind: "120000", content: one.target, owner: `${one.uid}:0` });
          } else {
            parts.push(hardlink("x", "x", fields));
            expected.set(path, { kind: "100000" });
          }
        }
        unpackInto(scratch.root, archive(...parts), { slice });
        const found = new Map(listing(scratch.root).map((one) => [one.path, one]));
        found.delete("first");
        expect([...found.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
        for (const [path, wanted] of expected) expect(found.get(path)).toMatchObject(wanted);
        expect(scratch.escaped).toBe(false);
      },
    ),
    { numRuns: 150, ...(seed === undefined ? {} : { seed }) },
  );
});
