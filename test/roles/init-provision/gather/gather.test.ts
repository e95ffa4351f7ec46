import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { WireError } from "../../../../src/protocol/errors.ts";
import { limits } from "../../../../src/protocol/limits.ts";
import { gather } from "../../../../src/roles/init/provision/gather/gather.ts";
import { openPipe } from "../../../../src/system/process-pipe.ts";
import { allOf, uploadOf } from "../../../support/delta-archive.ts";
import { randomBytes, seed, seeded, seededRandom } from "../../../support/seed.ts";
import { deltaOfFiles, type Files, GatherStage, wholeUpload } from "./gather-stage.ts";

const noise = randomBytes(seededRandom(seed), 2_000_000);
const part = (start: number, length: number): Uint8Array => noise.subarray(start, start + length);

/** Contents that share stretches: cut out of the same noise, with something put in. */
const content = fc
  .record({
    start: fc.integer({ min: 0, max: 4 }).map((step) => step * 100_000),
    length: fc.oneof(
      fc.constantFrom(0, 1, 63, 64, 511, 512, 513),
      fc.integer({ min: 0, max: 700_000 }),
    ),
    inserted: fc.option(fc.integer({ min: 0, max: 600_000 }), { nil: undefined }),
  })
  .map(({ start, length, inserted }) => {
    const bytes = part(start, length);
    if (inserted === undefined || inserted > length) return bytes;
    return Buffer.concat([
      bytes.subarray(0, inserted),
      Buffer.from("put in"),
      bytes.subarray(inserted),
    ]);
  });
const tree: fc.Arbitrary<Files> = fc.dictionary(
  fc.constantFrom("a", "b", "usr/a", "usr/lib/b", "var/c"),
  content,
);

test("of any two trees, what is gathered is the archive of the second to the byte", async () => {
  await fc.assert(
    fc.asyncProperty(tree, tree, async (before, after) => {
      using stage = new GatherStage(before);
      const delta = await deltaOfFiles(after);
      const upload = await uploadOf(delta, stage.lacking(delta));
      expect(Buffer.compare(stage.gather(upload, delta), delta.tar)).toBe(0);
    }),
    seeded(25) as fc.Parameters<[Files, Files]>,
  );
});

test("little is sent of a tree of which little has changed, and no content of one that is the same", async () => {
  const files = { "usr/large": part(0, 1_500_000), "usr/small": part(1_500_000, 10_000) };
  using stage = new GatherStage(files);
  const same = await deltaOfFiles({ "opt/renamed": files["usr/large"], b: files["usr/small"] });
  expect(stage.lacking(same).bytes.every((byte) => byte === 0)).toBe(true);
  const changed = Buffer.from(files["usr/large"]);
  changed.set(Buffer.from("changed"), 700_000);
  const delta = await deltaOfFiles({ ...files, "usr/large": changed });
  const upload = await uploadOf(delta, stage.lacking(delta));
  expect(upload.length).toBeLessThan(limits.pieceBytesMax + 5000);
  expect(Buffer.compare(stage.gather(upload, delta), delta.tar)).toBe(0);
});

test("without a tree all is sent", async () => {
  using stage = new GatherStage();
  const delta = await deltaOfFiles({ a: part(0, 300_000) });
  expect(stage.lacking(delta, { rootFd: undefined })).toEqual(allOf(delta.recipe));
  const made = stage.gather(await wholeUpload(delta), delta, { rootFd: undefined });
  expect(Buffer.compare(made, delta.tar)).toBe(0);
});

test("an upload can be gone on with at any byte: what comes from there on is the same", async () => {
  using stage = new GatherStage({ a: part(0, 400_000) });
  const delta = await deltaOfFiles({ a: part(0, 380_000), b: part(600_000, 1_400_000) });
  const lacking = stage.lacking(delta);
  const upload = await uploadOf(delta, lacking);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: upload.length }), async (start) => {
      const chunks: Uint8Array[] = [];
      for await (const bytes of delta.upload.bytes(start, Promise.resolve(lacking.bytes)))
        chunks.push(bytes);
      expect(Buffer.compare(Buffer.concat(chunks), upload.subarray(start))).toBe(0);
    }),
    seeded(12) as fc.Parameters<[number]>,
  );
});

test("a file that changes after it was looked at is noticed, whatever becomes of it", async () => {
  const delta = await deltaOfFiles({ a: part(0, 50_000), b: part(100_000, 50_000) });
  const changes: ((stage: GatherStage) => void)[] = [
    (stage) => stage.write("a", part(1, 50_000)),
    (stage) => stage.write("a", part(0, 49_999)),
    (stage) => stage.write("a", new Uint8Array(0)),
  ];
  for (const change of changes) {
    using stage = new GatherStage({ a: part(0, 50_000), b: part(100_000, 50_000) });
    const upload = await uploadOf(delta, stage.lacking(delta));
    const run = () => stage.gather(upload, delta, { onLacking: () => change(stage) });
    expect(run).toThrow(expect.objectContaining({ code: "pieces-changed" }));
  }
});

/** A recipe of one piece of 5 bytes, and what is sent after it. */
function hostile(...batches: readonly Uint8Array[]): Uint8Array {
  const recipe = Buffer.from(`00000005${sha256Start("12345")}`, "hex");
  const framed = batches.map((batch) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(batch.length);
    return Buffer.concat([length, batch]);
  });
  return Buffer.concat([recipe, ...framed]);
}

const sha256Start = (text: string): string =>
  new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 32);
const packed = (text: string): Uint8Array => zstdCompressSync(Buffer.from(text));
const source = { source: { kind: "delta", recipe_bytes: 20 } } as never;

test.each([
  ["nothing", [], "archive-truncated"],
  ["half of it", [packed("123")], "archive-truncated"],
  ["something else", [packed("54321")], "digest-mismatch"],
  ["a byte more in its batch", [packed("123456")], "bad-request"],
  ["a batch more", [packed("12345"), packed("6")], "bad-request"],
  ["a bomb", [zstdCompressSync(new Uint8Array(2 ** 26))], "wire"],
  ["what is not compressed", [Buffer.from("12345")], "wire"],
  ["an empty batch", [packed("")], "wire"],
  ["no batch at all", [new Uint8Array(0)], "wire"],
] as const)("a client that sends %s is refused", (_, batches, code) => {
  using stage = new GatherStage();
  const run = () => stage.gather(hostile(...batches), source);
  if (code === "wire") expect(run).toThrow(WireError);
  else expect(run).toThrow(expect.objectContaining({ code }));
});

test("the same client, honest", () => {
  using stage = new GatherStage();
  const made = stage.gather(hostile(packed("12"), packed("345")), source);
  expect(Buffer.from(made).toString()).toBe("12345");
});

test("recipes that are none are refused before anything is read of the tree", () => {
  using stage = new GatherStage();
  const recipes = ["00000000", "80000000", "ffffffff", "0000000100", "80000001".repeat(3) + "80"];
  for (const hex of recipes) {
    const recipe = Buffer.from(hex, "hex");
    const wish = { source: { kind: "delta", recipe_bytes: recipe.length } } as never;
    expect(() => stage.gather(recipe, wish)).toThrow(WireError);
  }
});

test("where nobody reads what is gathered it just ends", async () => {
  using stage = new GatherStage();
  const delta = await deltaOfFiles({ a: part(0, 300_000) });
  const { readFd, writeFd } = openPipe();
  const { closeSync, openSync } = await import("node:fs");
  closeSync(readFd);
  const sent = join(stage.tree, "sent");
  writeFileSync(sent, await wholeUpload(delta));
  const inFd = openSync(sent, "r");
  gather({
    rootFd: undefined,
    recipeBytes: delta.source.recipe_bytes,
    inFd,
    outFd: writeFd,
    now: () => 0,
    onProgress: () => undefined,
    onLacking: () => undefined,
  });
  for (const fd of [inFd, writeFd]) closeSync(fd);
});
