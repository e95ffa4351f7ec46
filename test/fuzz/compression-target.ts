import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { ArchiveCorrupt, ArchiveFormat } from "../../src/system/archive/archive-error.ts";
import { decompress } from "../../src/system/archive/decompress.ts";
import { GzipHeader } from "../../src/system/archive/gzip-header.ts";
import { ZstdFrames } from "../../src/system/archive/zstd-frames.ts";
import { type FuzzTarget, someSlices } from "../support/fuzz.ts";
import { pick } from "../support/mutation.ts";
import { between, type Random, randomBytes } from "../support/seed.ts";

/** A gzip stream of one member or two, with any of the optional fields in the header. */
function anyGzip(random: Random): Buffer {
  const plain = Buffer.concat([
    Buffer.alloc(between(random, 0, 400), "ab"),
    randomBytes(random, 9),
  ]);
  const whole = gzipSync(plain, { level: between(random, 0, 9) });
  const head = Buffer.from(whole.subarray(0, 10));
  const fields: Uint8Array[] = [];
  const field = (flag: number, bytes: Uint8Array): void => {
    if (random() < 0.5) return;
    head[3] = (head[3] ?? 0) | flag;
    fields.push(bytes);
  };
  const extra = between(random, 0, 20);
  field(0x04, Buffer.concat([Uint8Array.of(extra, 0), new Uint8Array(extra).fill(1)]));
  field(0x08, Buffer.from("rootfs.tar\0"));
  field(0x10, Buffer.from("a comment\0"));
  const member = Buffer.concat([head, ...fields, whole.subarray(10)]);
  return random() < 0.2 ? Buffer.concat([member, whole]) : member;
}

function anyZstd(random: Random): Buffer {
  const plain = Buffer.concat([
    Buffer.alloc(between(random, 0, 400), "ab"),
    randomBytes(random, 9),
  ]);
  const params = {
    [constants.ZSTD_c_checksumFlag]: between(random, 0, 1),
    [constants.ZSTD_c_contentSizeFlag]: between(random, 0, 1),
    [constants.ZSTD_c_windowLog]: between(random, 10, 27),
  };
  const frame = zstdCompressSync(plain, { params });
  const skippable = Buffer.from("502a4d1803000000aabbcc", "hex");
  return Buffer.concat(
    pick(random, [[frame], [frame], [skippable, frame], [frame, frame], [frame, skippable]]),
  );
}

const headerBytesMax = 24;
const windowBytesMax = 2 ** 26;

/** Our own walk through the header of gzip: refused beyond its limit exactly when RFC 1952 says so, for every cut. */
export const gzipHeaders: FuzzTarget = {
  name: "gzip header",
  runs: 1_000_000,
  planned: 1_000_000,
  corpus: (random) => Array.from({ length: 200 }, () => anyGzip(random).subarray(0, 60)),
  check: (bytes) => {
    const header = new GzipHeader(headerBytesMax);
    const refused = isRefused(() => {
      for (const slice of someSlices(bytes)) header.push(slice);
    });
    const length = Math.min(gzipHeaderBytes(bytes), bytes.length);
    if (refused !== length > headerBytesMax)
      throw new Error(`${length} bytes, refused: ${refused}`);
    return !refused;
  },
};

/** The same question, asked of the bytes as a whole. */
function gzipHeaderBytes(bytes: Uint8Array): number {
  const flags = bytes[3] ?? 0;
  let at = 10;
  if ((flags & 0x04) !== 0) at += 2 + (bytes[at] ?? 0) + 256 * (bytes[at + 1] ?? 0);
  for (const flag of [0x08, 0x10]) {
    if ((flags & flag) === 0 || at > bytes.length) continue;
    const end = bytes.indexOf(0, at);
    at = end === -1 ? Number.POSITIVE_INFINITY : end + 1;
  }
  return at;
}

/** Our own walk through the frames of zstd: the same verdict for every cut. */
export const zstdFrames: FuzzTarget = {
  name: "zstd frames",
  runs: 1_000_000,
  planned: 1_000_000,
  corpus: (random) => Array.from({ length: 100 }, () => anyZstd(random)),
  check: (bytes) => {
    const verdicts = [[bytes], someSlices(bytes)].map((slices) =>
      isRefused(() => {
        const frames = new ZstdFrames(windowBytesMax);
        for (const slice of slices) frames.push(slice);
        frames.finish();
      }),
    );
    if (verdicts[0] !== verdicts[1]) throw new Error(`refused: ${verdicts.join(", in slices: ")}`);
    return verdicts[0] === false;
  },
};

function isRefused(walk: () => void): boolean {
  try {
    walk();
    return false;
  } catch (error) {
    if (error instanceof ArchiveCorrupt || error instanceof ArchiveFormat) return true;
    throw error;
  }
}

/** The whole way from archive bytes to tar bytes: what comes out without an error, zlib and zstd say as well. */
export const decompression: FuzzTarget = {
  name: "decompression",
  runs: 20_000,
  corpus: (random) => Array.from({ length: 100 }, () => [anyGzip(random), anyZstd(random)]).flat(),
  check: async (bytes) => {
    let content: Buffer;
    try {
      const parts: Uint8Array[] = [];
      for await (const part of decompress(inOrder(someSlices(bytes)))) parts.push(part.slice());
      content = Buffer.concat(parts);
    } catch (error) {
      if (error instanceof ArchiveCorrupt || error instanceof ArchiveFormat) return false;
      throw error;
    }
    if (!content.equals(reference(bytes))) throw new Error("other content than the library's");
    return true;
  },
};

async function* inOrder(slices: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield* slices;
}

function reference(bytes: Uint8Array): Uint8Array {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzipSync(bytes);
  const magic = Buffer.from(bytes.subarray(0, 4)).toString("hex");
  return /^(28b52ffd|5.2a4d18)$/.test(magic) ? zstdDecompressSync(bytes) : bytes;
}
