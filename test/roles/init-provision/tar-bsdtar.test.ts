import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attributes, listing, Scratch, unpackInto } from "./scratch.ts";
import { Mount, run } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/** What bsdtar packs on an ext4, with attributes, flags and ACLs where it can. */
test("an archive of bsdtar keeps content and attributes, and what it loses it names", () => {
  using disk = Mount.ext4(16);
  using ours = new Scratch();
  const tree = join(disk.dir, "tree");
  mkdirSync(join(tree, "folder"), { recursive: true });
  writeFileSync(join(tree, "folder/plain"), "plain", { mode: 0o640 });
  writeFileSync(join(tree, "ping"), "capable", { mode: 0o755 });
  writeFileSync(join(tree, "flagged"), "not for dump");
  symlinkSync("folder/plain", join(tree, "link"));
  run("setcap", "cap_net_raw+ep", join(tree, "ping"));
  run("setfattr", "-n", "user.note", "-v", "a = b % c\nline", join(tree, "ping"));
  run("setfattr", "-n", "user.odd = %41", "-v", "0x00ff0a", join(tree, "ping"));
  run("setfattr", "-n", "user.on-folder", "-v", "yes", join(tree, "folder"));
  run(
    "setfattr",
    "-n",
    "system.posix_acl_access",
    "-v",
    readableBy1000,
    join(tree, "folder/plain"),
  );
  run("chattr", "+d", join(tree, "flagged"));
  const packed = join(disk.dir, "packed.tar");
  run("bsdtar", "--format=pax", "--xattrs", "--fflags", "--acls", "-C", tree, "-cf", packed, ".");
  const { skipped } = unpackInto(ours.root, readFileSync(packed));
  expect(skipped.toSorted()).toEqual([
    "1 × PAX SCHILY.acl.access, first folder/plain",
    "1 × PAX SCHILY.fflags, first flagged",
  ]);
  expect(listing(ours.root)).toEqual(listing(tree));
  expect(attributes(ours.root)).toEqual(attributes(tree));
  expect(attributes(ours.root)).toContain("security.capability");
});

/** The kernel's form of user::rw- user:1000:r-- group::r-- mask::r-- other::r--. */
const readableBy1000 =
  "0x0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff";
