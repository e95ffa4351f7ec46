import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { parsePax } from "../../../src/system/archive/tar/pax.ts";
import { type TarEvent, TarReader } from "../../../src/system/archive/tar/reader.ts";
import { TarRefusal, type TarReason } from "../../../src/system/archive/tar/refusal.ts";
import { attributeCases } from "./corpus/attribute.ts";
import { breakoutCases } from "./corpus/breakout.ts";
import { linkCases } from "./corpus/link.ts";
import { metaCases } from "./corpus/meta.ts";
import { pathCases } from "./corpus/path.ts";
import { sparseCases } from "./corpus/sparse.ts";
import { Scratch, unpackInto } from "./scratch.ts";
import { oldGnu, type Pair, pax00, pax01, pax10 } from "./sparse-builder.ts";
import { concat, dir, endMark, file, gnuLong, hardlink, pax, symlink } from "./tar-builder.ts";

setDefaultTimeout(120_000);

const seed = Number(process.env["FV_SEED"]) || undefined;
const options = (numRuns: number) => ({ numRuns, ...(seed === undefined ? {} : { seed }) });

const segments = [
  ...[0, 1024, 2048, 4096, 6000, 7000].map((at): Pair => [at, 512]),
  [9000, 0] as const,
];

const valid = concat(
  dir("d", { mode: 0o755 }),
  file("d/f", "content ".repeat(200)),
  pax([
    ["path", "a/long/name"],
    ["mtime", "1700000000.5"],
    ["SCHILY.xattr.user.a", "b"],
  ]),
  file("x", "y"),
  gnuLong("K", "target\0"),
  gnuLong("L", "name\0"),
  symlink("x", "y"),
  hardlink("h", "d/f"),
  oldGnu({ name: "s1", sizeBytes: 9000, pairs: segments, data: "s".repeat(6 * 512) }),
  pax00({ name: "s2", sizeBytes: 9000, pairs: segments, data: "s".repeat(6 * 512) }),
  pax01({ name: "s3", sizeBytes: 9000, pairs: segments, data: "s".repeat(6 * 512) }),
  pax10({ name: "s4", sizeBytes: 9000, pairs: segments, data: "s".repeat(6 * 512) }),
  endMark,
);

/** Reads to the end; what it accepts is summed up, what it refuses is a `TarRefusal`, anything else is thrown. */
function read(bytes: Uint8Array, slice: number): string {
  const reader = new TarReader();
  const seen: string[] = [];
  const count = sizeCounter();
  try {
    for (let at = 0; at < bytes.length; at += slice) {
      for (const event of reader.push(bytes.subarray(at, at + slice))) {
        count(event);
        if (event.kind === "entry") seen.push(JSON.stringify(event.entry));
      }
    }
    reader.finish();
    return seen.join("\n");
  } catch (error) {
    if (error instanceof TarRefusal) return `${seen.join("\n")}\n${error.reason}`;
    throw error;
  }
}

/** Data and holes of a file add up to its size, whatever the archive. */
function sizeCounter(): (event: TarEvent) => void {
  let left = 0;
  return (event) => {
    if (event.kind === "entry") left = event.entry.kind === "file" ? event.entry.sizeBytes : 0;
    if (event.kind === "file-end") expect(left).toBe(0);
    if (event.kind !== "data" && event.kind !== "hole") return;
    const size = event.kind === "data" ? event.bytes.length : event.sizeBytes;
    expect(size).toBeGreaterThan(0);
    left -= size;
  };
}

test("damaged archives give entries or a TarRefusal, the same in any slices", () => {
  const mutation = fc.record({
    at: fc.nat(valid.length - 1),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
    /** Without a right checksum nothing behind it would ever be tried. */
    repair: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 700 }),
      (mutations, slice) => {
        const bytes = valid.slice();
        for (const { at, bytes: patch, repair } of mutations) {
          bytes.set(patch.subarray(0, bytes.length - at), at);
          if (repair) repairChecksum(bytes, at - (at % 512));
        }
        expect(read(bytes, slice)).toBe(read(bytes, bytes.length));
      },
    ),
    options(3000),
  );
});

function repairChecksum(bytes: Uint8Array, start: number): void {
  const block = bytes.subarray(start, start + 512);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

test("arbitrary bytes are refused, never more", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      expect(read(bytes, 512)).toMatch(/E_[A-Z_]+$/);
    }),
    options(500),
  );
});

test("parsePax takes what the builder wrote and refuses or takes anything else without another error", () => {
  const key = fc
    .string({ minLength: 1, maxLength: 20, unit: "binary-ascii" })
    .filter((text) => !text.includes("=") && !text.includes("\0"));
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(key, fc.uint8Array({ maxLength: 200 })), {
        maxLength: 6,
        selector: ([name]) => name,
      }),
      (records) => {
        const body = pax(records).subarray(512);
        const length = records.length === 0 ? 0 : body.lastIndexOf(0x0a) + 1;
        const parsed = parsePax(body.subarray(0, length));
        expect([...parsed].map(([name, value]) => [name, [...value]])).toEqual(
          records.map(([name, value]) => [name, [...value]]),
        );
      },
    ),
    options(500),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
      try {
        parsePax(body);
      } catch (error) {
        expect(error).toBeInstanceOf(TarRefusal);
      }
    }),
    options(1000),
  );
});

/** What an archive is refused for, or undefined. */
function refusal(bytes: Uint8Array): unknown {
  using scratch = new Scratch();
  try {
    unpackInto(scratch.root, bytes, { slice: 4096 });
  } catch (error) {
    expect(scratch.escaped).toBe(false);
    return error;
  }
  return undefined;
}

describe("row 70: whatever stands around it, the first hostile entry decides", () => {
  /** Refused for what they hold, not for how they end or for how much they are. */
  const atTheEnd: ReadonlySet<TarReason> = new Set(["E_META_ORPHAN", "E_AFTER_EOF", "E_EMPTY"]);
  const hostile = [
    ...pathCases,
    ...linkCases,
    ...metaCases,
    ...sparseCases,
    ...attributeCases,
    ...breakoutCases,
  ].flatMap(([, , bytes, effect]) => {
    const whole = bytes.length > 1024 && bytes.subarray(-1024).every((byte) => byte === 0);
    if (typeof effect !== "string" || !whole || atTheEnd.has(effect)) return [];
    return [{ bytes: bytes.subarray(0, -1024), reason: effect }];
  });

  test("among files of any size", () => {
    expect(hostile.length).toBeGreaterThan(200);
    fc.assert(
      fc.property(
        fc.array(fc.nat(200), { maxLength: 60 }),
        fc.constantFrom(...hostile),
        fc.constantFrom(...hostile),
        (sizes, decides, later) => {
          const before = sizes.map((size, index) => file(`valid/${index}`, "v".repeat(size)));
          const outcome = refusal(
            concat(...before, decides.bytes, file("between"), later.bytes, endMark),
          );
          expect(outcome).toMatchObject({ reason: decides.reason });
        },
      ),
      options(300),
    );
  });

  test("in ten thousand entries", () => {
    const files = Array.from({ length: 10_000 }, (_, index) => file(`valid/${index}`));
    fc.assert(
      fc.property(fc.nat(9_999), fc.constantFrom(...hostile), (at, { bytes, reason }) => {
        const outcome = refusal(concat(...files.slice(0, at), bytes, ...files.slice(at), endMark));
        expect(outcome).toMatchObject({ reason });
      }),
      options(5),
    );
  });
});
