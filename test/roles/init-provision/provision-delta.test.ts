import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { deltaOf } from "../../support/delta-archive.ts";
import { randomBytes, seed, seededRandom } from "../../support/seed.ts";
import { archive, concat, file, symlink } from "./tar-builder.ts";
import { Mount, refusal, Volume } from "./volume-fixture.ts";

setDefaultTimeout(120_000);

/** Of an archive sent in pieces there is the tree that there is of it as a whole. */
async function provisionDelta(volume: Volume, bytes: Uint8Array) {
  const delta = await deltaOf(bytes);
  const lacking = Promise.withResolvers<Uint8Array>();
  const { tar_sha256, tar_bytes, recipe_bytes, archive_sha256 } = delta.source;
  const staged = await volume.stage(delta.upload.bytes(0, lacking.promise), {
    sha256: tar_sha256,
    sizeBytes: tar_bytes,
    delta: {
      recipeBytes: recipe_bytes,
      archiveSha256: archive_sha256,
      onLacking: lacking.resolve,
    },
  });
  await staged.activate();
  return staged;
}

test.each([
  ["gzip", "\x1f\x8b\x08"],
  ["zstd", "\x28\xb5\x2f\xfd"],
  ["zip", "PK\x03\x04"],
])("a tar stream that begins like %s is unpacked as what it is", async (_, magic) => {
  await using volume = new Volume();
  await provisionDelta(
    volume,
    gzipSync(archive(file(magic), file("bin/sh", "true", { mode: 0o755 }))),
  );
  expect(volume.read("rootfs/bin/sh")).toBe("true");
});

test("a tar stream that is an archive of another one too makes the same tree in pieces", async () => {
  const bytes = gzipSync(twoInOne(file("bin/sh", "inner", { mode: 0o755 })));
  for (const send of [(volume: Volume) => volume.provision(bytes), provisionDelta]) {
    await using volume = new Volume();
    await send(volume, bytes);
    expect(volume.read("rootfs/bin/sh")).toBe("outer");
  }
});

/** Read as tar it has "outer"; read as zstd, between two skippable frames, the archive of `inner`. */
function twoInOne(inner: Uint8Array): Uint8Array {
  const packed = zstdCompressSync(archive(inner));
  const rest = file("bin/sh", "outer", { mode: 0o755 });
  const content = new Uint8Array(Math.ceil((512 + packed.length + 8) / 512) * 512);
  const endBytes = content.length - 512 - packed.length - 8 + rest.length + 1024;
  content.set(packed, 512);
  content.set(skippable(endBytes), 512 + packed.length);
  const name = Buffer.from(skippable(512 - 8 + 512)).toString("latin1");
  return archive(concat(file(name, content), rest));
}

/** The head of a frame of so many bytes that are no data. */
function skippable(bytes: number): Uint8Array {
  const head = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  new DataView(head.buffer).setUint32(4, bytes, true);
  return head;
}

const shell = file("bin/sh", "#!", { mode: 0o755 });
const noise = randomBytes(seededRandom(seed), 12_000_000);
/** With so many bytes of content. */
const tree = (bytes: number): Uint8Array => archive(shell, file("noise", noise.subarray(0, bytes)));

describe("room for an archive in pieces", () => {
  test("is not refused for what a tar stream has besides contents", async () => {
    await using volume = new Volume(Mount.tmpfs("size=6m,nr_inodes=100000"));
    await volume.provision(archive(shell));
    const links = Array.from({ length: 13_000 }, (_, index) => symlink(`link${index}`, "bin/sh"));
    const bytes = archive(shell, ...links);
    expect(bytes.length).toBeGreaterThan(6 * 1024 * 1024);
    const staged = await provisionDelta(volume, bytes);
    expect(staged.entries).toBe(13_001);
  });

  test.each([
    ["stays where it fits beside the new one", 14_000_000, true],
    ["gives way to one that fits in its place", 18_000_000, false],
  ])("the previous tree %s", async (_, bytes, stays) => {
    await using volume = new Volume(Mount.tmpfs("size=26m"));
    await volume.provision(tree(8_000_000));
    await volume.provision(archive(shell));
    const content = concat(file("a", noise), file("b", noise.subarray(0, bytes - noise.length)));
    await provisionDelta(volume, archive(shell, content));
    expect(volume.events.includes("provision-previous-dropped")).toBe(!stays);
  });

  test("the previous tree is not given up for one that would not fit all the same", async () => {
    await using volume = new Volume(Mount.tmpfs("size=20m"));
    await volume.provision(tree(6_000_000));
    await volume.provision(archive(shell));
    const large = archive(shell, file("a", noise), file("b", noise));
    expect(await refusal(provisionDelta(volume, large))).toMatchObject({ code: "disk-full" });
    expect(volume.read("rootfs.previous/noise")).toBeDefined();
  });

  test("is asked for: with less than the least there is nothing begins", async () => {
    await using volume = new Volume(Mount.tmpfs("size=12m"));
    await volume.provision(archive(shell));
    writeFileSync(join(volume.dir, "ballast"), Buffer.alloc(9 * 1024 * 1024));
    const error = await refusal(provisionDelta(volume, archive(shell)));
    expect(error).toMatchObject({ code: "disk-full", message: expect.stringContaining("too few") });
  });
});
