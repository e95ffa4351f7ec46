import { afterEach, expect, spyOn, test } from "bun:test";
import { DeltaUpload } from "../../../../src/roles/client/provision/delta-upload.ts";
import { BetterWhole } from "../../../../src/roles/client/provision/rootfs-upload.ts";
import { PieceBatch } from "../../../../src/system/archive/piece-batch.ts";
import { allOf, type DeltaArchive, deltaOf } from "../../../support/delta-archive.ts";
import { rejection } from "../../../support/rejection.ts";
import { randomBytes, seed, seededRandom } from "../../../support/seed.ts";
import { archive, file } from "../../init-provision/tar-builder.ts";

const noise = randomBytes(seededRandom(seed), 6_000_000);
const tar = archive(file("bin/sh", "#!", { mode: 0o755 }), file("noise", noise));

const packing = spyOn(PieceBatch.prototype, "pack");
afterEach(() => {
  packing.mockClear();
});

const lackingAll = ({ recipe }: DeltaArchive) => Promise.resolve(allOf(recipe).bytes);

/** The link is lost after so many bytes, from there on. Gives what went over it. */
async function send(
  delta: DeltaArchive,
  start: number,
  most = Infinity,
  lacking = lackingAll(delta),
) {
  const chunks: Uint8Array[] = [];
  let left = most;
  for await (const bytes of delta.upload.bytes(start, lacking)) {
    if (left <= 0) break;
    chunks.push(bytes);
    left -= bytes.length;
  }
  return Buffer.concat(chunks).subarray(0, most);
}

test("what was taken is not packed once more, and what comes after it is the same", async () => {
  const delta = await deltaOf(tar);
  const all = await send(await deltaOf(tar), 0);
  const batches = packing.mock.calls.length;
  expect(batches).toBeGreaterThanOrEqual(6);
  packing.mockClear();
  await send(delta, 0, all.length - 1_500_000);
  const before = packing.mock.calls.length;
  const rest = await send(delta, all.length - 1_500_000);
  expect(Buffer.compare(rest, all.subarray(-1_500_000))).toBe(0);
  expect(packing.mock.calls.length - before).toBeLessThanOrEqual(3);
  packing.mockClear();
  expect((await send(delta, all.length)).length).toBe(0);
  expect(packing).not.toHaveBeenCalled();
});

test("a machine that was restarted and lacks something else is sent that", async () => {
  const delta = await deltaOf(tar);
  await send(delta, 0, 2_000_000);
  const some = allOf(delta.recipe);
  some.bytes[0] = 0;
  const sent = await send(delta, 0, Infinity, Promise.resolve(some.bytes));
  const fresh = await send(await deltaOf(tar), 0, Infinity, Promise.resolve(some.bytes));
  expect(Buffer.compare(sent, fresh)).toBe(0);
});

test("links that are lost before a byte arrives lead to all of it, but not one in a row", async () => {
  const delta = await deltaOf(tar);
  await send(delta, 0, 1_000_000);
  for (const start of [1_000_000, 1_000_000, 1_000_001, 1_000_001]) await send(delta, start, 1);
  const error = await rejection(send(delta, 1_000_001, 1));
  expect(error).toBeInstanceOf(BetterWhole);
  expect(error.message).toContain("again and again");
});

test("links that are lost after the last byte are waited for as long as it takes", async () => {
  const delta = await deltaOf(tar);
  const all = await send(delta, 0);
  for (let resumes = 0; resumes < 5; resumes++)
    expect((await send(delta, all.length)).length).toBe(0);
});

test("the archive is not read on for a link that is lost, though nothing was to be sent yet", async () => {
  const { recipe, ...rest } = await deltaOf(tar);
  let reads = 0;
  const lost = new AbortController();
  const slowly = {
    async *bytes() {
      for (let at = 0; at < tar.length; at += 65_536) {
        reads += 1;
        if (reads === 10) lost.abort();
        yield tar.subarray(at, at + 65_536);
      }
    },
    progress: () => ({ bytes: 0, totalBytes: 0 }),
  };
  const upload = new DeltaUpload(slowly, recipe, Infinity);
  const start = recipe.bytes.length + 5_000_000;
  for await (const _ of upload.bytes(start, lackingAll({ recipe, ...rest }), lost.signal))
    throw new Error("Nothing was due");
  expect(reads).toBeLessThan(15);
});
