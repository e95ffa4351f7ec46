import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync, zstdCompressSync, constants } from "node:zlib";
import fc from "fast-check";
import { ArchiveCorrupt, ArchiveFormat } from "../../../src/system/archive/archive-error.ts";
import { decompress } from "../../../src/system/archive/decompress.ts";
import { archiveLimits } from "../../../src/system/archive/limits.ts";
import { ZstdFrames } from "../../../src/system/archive/zstd-frames.ts";
import { seeded } from "../../support/seed.ts";
import { concat } from "../../roles/init-provision/tar-builder.ts";

setDefaultTimeout(120_000);

const text = Buffer.from("some words, again and again. ".repeat(5000));
const gz = gzipSync(text);
const zst = zstdCompressSync(text);
const checksummed = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const skippable = Buffer.from("502a4d1803000000aabbcc", "hex");
const garbage = Buffer.from("garbage");

/** Whoever reads is done with one before the next one comes. */
async function* slowly(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    yield part;
    await Bun.sleep(10);
  }
}

async function* inSlices(bytes: Uint8Array, slice: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += slice) yield bytes.subarray(at, at + slice);
  await Promise.resolve();
}

async function inflate(bytes: Uint8Array, slice = bytes.length): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(inSlices(bytes, Math.max(1, slice))))
    parts.push(part.slice());
  return Buffer.concat(parts);
}

async function outcome(bytes: Uint8Array, slice?: number): Promise<unknown> {
  try {
    return await inflate(bytes, slice);
  } catch (error) {
    return error;
  }
}

const flipped = (bytes: Uint8Array, at: number) =>
  bytes.map((byte, index) => (index === at ? byte ^ 0xff : byte));

const named = (length: number) => {
  const head = Buffer.from(gz.subarray(0, 10));
  head[3] = 0x08 | 0x04;
  const extra = Buffer.concat([Buffer.from([0x10, 0x00]), Buffer.alloc(16, 1)]);
  return concat(head, extra, Buffer.alloc(length, 0x61), Buffer.from([0]), gz.subarray(10));
};

async function* failing(): AsyncGenerator<Uint8Array> {
  yield gz.subarray(0, 200);
  await Promise.resolve();
  throw new RangeError("the line broke");
}

const slices = [undefined, 1, 7, 1000] as const;

describe("rows 66 and 68: decompress takes", () => {
  const accepted: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
    ["plain bytes", text, text],
    ["nothing", new Uint8Array(0), new Uint8Array(0)],
    ["gzip", gz, text],
    ["gzip of two members", concat(gz, gz), concat(text, text)],
    ["gzip padded with zeros", concat(gz, new Uint8Array(600)), text],
    ["zstd", zst, text],
    ["zstd with a checksum", checksummed, text],
    ["zstd of two frames", concat(zst, checksummed), concat(text, text)],
    ["zstd with skippable frames", concat(skippable, zst, skippable), text],
  ];
  for (const [title, bytes, expected] of accepted) {
    for (const slice of slices) {
      test(`${title}, in slices of ${slice ?? "all"}`, async () => {
        const result = await inflate(bytes, slice);
        expect(result.equals(expected)).toBe(true);
      });
    }
  }
});

describe("rows 65, 67 and 68: decompress refuses", () => {
  const refused: readonly (readonly [string, Uint8Array])[] = [
    ["gzip with garbage behind", concat(gz, garbage)],
    ["gzip with zeros and garbage behind", concat(gz, new Uint8Array(600), garbage)],
    ["gzip with a wrong CRC", flipped(gz, gz.length - 6)],
    ["gzip with a wrong length", flipped(gz, gz.length - 1)],
    ["gzip cut in the trailer", gz.subarray(0, gz.length - 3)],
    ["gzip cut in the middle", gz.subarray(0, gz.length / 2)],
    ["gzip cut in the header", gz.subarray(0, 8)],
    ["gzip damaged", flipped(gz, 100)],
    ["zstd with garbage behind", concat(zst, garbage)],
    ["zstd cut", zst.subarray(0, zst.length - 1)],
    ["zstd cut after the magic", zst.subarray(0, 6)],
    ["zstd cut in its checksum", checksummed.subarray(0, checksummed.length - 2)],
    ["zstd with a wrong checksum", flipped(checksummed, checksummed.length - 1)],
    ["zstd with a cut second frame", concat(zst, zst.subarray(0, 9))],
  ];
  for (const [title, bytes] of refused) {
    for (const slice of slices) {
      test(`${title}, in slices of ${slice ?? "all"}`, async () => {
        expect(await outcome(bytes, slice)).toBeInstanceOf(ArchiveCorrupt);
      });
    }
  }

  const foreign: readonly (readonly [string, string])[] = [
    ["xz", "fd377a585a000004"],
    ["bzip2", "425a6839314159"],
    ["zip", "504b030414000000"],
    ["lz4", "04224d1864404a"],
    ["7-Zip", "377abcaf271c0004"],
    ["squashfs", "6873717300000000"],
  ];
  for (const [name, magic] of foreign) {
    test(`${name}, by its name`, async () => {
      const error = await outcome(Buffer.from(magic, "hex"));
      expect(error).toBeInstanceOf(ArchiveFormat);
      expect((error as ArchiveFormat).message).toContain(name);
      expect((error as ArchiveFormat).hint).toContain("tar.zst");
    });
  }

  test("a gzip header above its limit", async () => {
    expect((await inflate(named(1000))).equals(text)).toBe(true);
    expect((await inflate(named(1000), 1)).equals(text)).toBe(true);
    const error = await outcome(named(archiveLimits.gzipHeaderBytesMax), 4096);
    expect(error).toBeInstanceOf(ArchiveCorrupt);
    expect((error as Error).message).toContain("header");
  });

  test("a zstd window above its limit, before decoding", async () => {
    const wide = Buffer.from(zst);
    // Magic, descriptor without single segment, window byte: 2^(10 + 17).
    const head = Buffer.from("28b52ffd0088", "hex");
    const error = await outcome(Buffer.concat([head, wide.subarray(6)]));
    expect(error).toBeInstanceOf(ArchiveFormat);
    expect((error as ArchiveFormat).hint).toContain("zstd -19");
  });

  test("a zstd window by a byte, and takes one that fits", () => {
    // 2^10 by 2^13, and an eighth more.
    for (const [window, fits] of [
      ["68", true],
      ["69", false],
    ] as const) {
      const frames = new ZstdFrames(archiveLimits.zstdWindowBytesMax);
      const push = () => frames.push(Buffer.from(`28b52ffd00${window}`, "hex"));
      if (fits) push();
      else expect(push).toThrow(ArchiveFormat);
    }
  });
});

test("what comes long after the end is read as well: zeros are taken, anything else is refused", async () => {
  const zeros = new Uint8Array(600);
  let taken = 0;
  const counted = async function* (...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    for await (const part of slowly(...parts)) {
      taken += part.length;
      yield part;
    }
  };
  const padded = [concat(gz, zeros), zeros, zeros];
  const parts = await Array.fromAsync(decompress(counted(...padded)), (part) => part.slice());
  expect(Buffer.concat(parts).equals(text)).toBe(true);
  expect(taken).toBe(concat(...padded).length);
  for (const tail of [[garbage], [zeros, garbage], [gz]])
    expect(Array.fromAsync(decompress(slowly(concat(gz, zeros), ...tail)))).rejects.toThrow(
      "after the end of the compressed stream",
    );
});

test("an error of the source comes through", async () => {
  let error: unknown;
  try {
    for await (const _ of decompress(failing())) continue;
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(RangeError);
});

test("ZstdFrames agrees with the compressor on any input, in any slices", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 50 }),
      (contents, slice) => {
        const bytes = concat(...contents.map((content) => zstdCompressSync(content)));
        const frames = new ZstdFrames(2 ** 26);
        for (let at = 0; at < bytes.length; at += slice)
          frames.push(bytes.subarray(at, at + slice));
        frames.finish();
        const cut = new ZstdFrames(2 ** 26);
        cut.push(bytes.subarray(0, bytes.length - 1));
        expect(() => cut.finish()).toThrow(ArchiveCorrupt);
      },
    ),
    seeded(200) as fc.Parameters<[Uint8Array<ArrayBuffer>[], number]>,
  );
});
