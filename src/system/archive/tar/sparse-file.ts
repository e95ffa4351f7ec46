import type { ByteString } from "./byte-string.ts";
import type { TarHeader } from "./header.ts";
import type { TarLimits } from "./limits.ts";
import { TarRefusal } from "./refusal.ts";
import { SparseLines } from "./sparse-lines.ts";
import { sparse, type SparseMap } from "./sparse-map.ts";
import { paxSparse } from "./sparse-pax.ts";
import { SparseTable } from "./sparse-table.ts";
import { storedFileSize, storedSize } from "./stored-size.ts";

/** A sparse file between its header and its first byte: in two of four formats the map goes on in blocks of its own. */
export interface SparseFile {
  readonly map: SparseMap;
  /** Whether the next block belongs to the map. */
  readonly extended: boolean;
  /** What the map takes of the stored bytes. */
  readonly mapBytes: number;
  pushBlock(block: Uint8Array): void;
}

/** Undefined where the header is one of any other entry. Throws `TarRefusal`. */
export function sparseFile(
  header: TarHeader,
  block: Uint8Array,
  pax: ReadonlyMap<ByteString, Uint8Array> | undefined,
  limits: TarLimits,
): SparseFile | undefined {
  if (header.type === "S") {
    if (pax !== undefined) throw new TarRefusal("E_META_MIX", "A PAX header before a GNU entry");
    if (header.dialect !== "gnu") throw sparse("it is not in an archive of the GNU format");
    return new SparseTable(block, limits);
  }
  const inPax = pax === undefined ? undefined : paxSparse(pax, limits);
  if (inPax === undefined) return undefined;
  const isFile = header.type === "0" || header.type === "\0" || header.type === "7";
  if (!isFile) throw sparse("it is not of a file");
  if (header.dialect !== "posix") throw sparse("it is not in an archive of the PAX format");
  return inPax.isInData
    ? new SparseLines(inPax.map, storedFileSize(storedSize(header, pax)))
    : { map: inPax.map, extended: false, mapBytes: 0, pushBlock: () => undefined };
}
