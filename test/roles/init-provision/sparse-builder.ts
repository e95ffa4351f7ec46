import { concat, file, header, type HeaderFields, padded, pax } from "./tar-builder.ts";

/** Sparse files in the four ways GNU tar writes them, right or wrong. Numbers may be text, to be anything. */
export type Pair = readonly [offset: number | string, size: number | string];

export interface SparseParts {
  readonly name?: string;
  readonly sizeBytes: number | string;
  readonly pairs: readonly Pair[];
  readonly data?: string;
}

/** Type "S": four pairs in the header, 21 in every block behind it. */
export function oldGnu(parts: SparseParts, more: HeaderFields = {}): Uint8Array {
  const data = Buffer.from(parts.data ?? "", "latin1");
  const inHeader = parts.pairs.slice(0, 4);
  const blocks: Uint8Array[] = [];
  for (let at = 4; at < parts.pairs.length; at += 21) {
    const block = new Uint8Array(512);
    putPairs(block, 0, parts.pairs.slice(at, at + 21));
    block[504] = at + 21 < parts.pairs.length ? 1 : 0;
    blocks.push(block);
  }
  const table = new Uint8Array(109);
  putPairs(table, 0, inHeader);
  table[96] = blocks.length > 0 ? 1 : 0;
  table.set(octal(parts.sizeBytes), 97);
  return concat(
    header({
      name: parts.name ?? "s",
      type: "S",
      magic: "gnu",
      size: data.length,
      // The table lies where POSIX has the end of the prefix.
      prefix: `${"\0".repeat(41)}${Buffer.from(table).toString("latin1")}`,
      ...more,
    }),
    ...blocks,
    padded(data),
  );
}

function putPairs(block: Uint8Array, at: number, pairs: readonly Pair[]): void {
  for (const [index, pair] of pairs.entries()) {
    block.set(octal(pair[0]), at + index * 24);
    block.set(octal(pair[1]), at + index * 24 + 12);
  }
}

function octal(value: number | string): Uint8Array {
  const text = typeof value === "number" ? value.toString(8).padStart(11, "0") : value;
  return Buffer.from(text, "latin1");
}

export type PaxRecords = readonly (readonly [string, string])[];

/** Every pair as two records. */
export function pax00(parts: SparseParts, more: PaxRecords = []): Uint8Array {
  const pairs = parts.pairs.flatMap(([offset, size]) => [
    ["GNU.sparse.offset", String(offset)] as const,
    ["GNU.sparse.numbytes", String(size)] as const,
  ]);
  return concat(
    pax([
      ["GNU.sparse.size", String(parts.sizeBytes)],
      ["GNU.sparse.numblocks", String(parts.pairs.length)],
      ...pairs,
      ...more,
    ]),
    file(parts.name ?? "s", parts.data ?? ""),
  );
}

/** One record with all pairs, and the name beside a made-up one. */
export function pax01(parts: SparseParts, more: PaxRecords = []): Uint8Array {
  return concat(
    pax([
      ["GNU.sparse.size", String(parts.sizeBytes)],
      ["GNU.sparse.numblocks", String(parts.pairs.length)],
      ["GNU.sparse.name", parts.name ?? "s"],
      ["GNU.sparse.map", parts.pairs.flat().join(",")],
      ...more,
    ]),
    file("GNUSparseFile.1/s", parts.data ?? ""),
  );
}

/** The pairs as lines in front of the data; `lines` is the map as it stands there. */
export function pax10(
  parts: Omit<SparseParts, "pairs"> & { readonly pairs?: readonly Pair[]; readonly lines?: string },
  more: PaxRecords = [],
): Uint8Array {
  const pairs = parts.pairs ?? [];
  const lines = parts.lines ?? [pairs.length, ...pairs.flat()].map((line) => `${line}\n`).join("");
  return concat(
    pax([
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", parts.name ?? "s"],
      ["GNU.sparse.realsize", String(parts.sizeBytes)],
      ...more,
    ]),
    file(
      "GNUSparseFile.1/s",
      concat(padded(Buffer.from(lines)), Buffer.from(parts.data ?? "", "latin1")),
    ),
  );
}
