import { byteString, type ByteString } from "./byte-string.ts";
import type { TarLimits } from "./limits.ts";
import { sparse, SparseMap } from "./sparse-map.ts";

/** Starts the keys by which GNU tar describes sparse files in PAX headers. */
export const sparsePrefix = "GNU.sparse.";

const offsetKey = "GNU.sparse.offset";
const sizeKey = "GNU.sparse.numbytes";
const listKey = "GNU.sparse.map";

/** The one place where PAX keys repeat: version 0.0 gives each segment as two records. Becomes the list of 0.1. */
export class RepeatedPairs {
  readonly #numbers: ByteString[] = [];

  /** False where the key is none of these two. */
  take(key: ByteString, value: Uint8Array): boolean {
    if (key !== offsetKey && key !== sizeKey) return false;
    if (key !== (this.#numbers.length % 2 === 0 ? offsetKey : sizeKey)) {
      throw sparse("offsets and sizes do not alternate");
    }
    const number = byteString(value);
    parseDecimal(number);
    this.#numbers.push(number);
    return true;
  }

  addTo(records: Map<ByteString, Uint8Array>): void {
    if (this.#numbers.length === 0) return;
    if (records.has(listKey)) throw sparse("it is there in two versions");
    records.set(listKey, Buffer.from(this.#numbers.join(","), "latin1"));
  }
}

export interface PaxSparse {
  readonly map: SparseMap;
  /** 1.0: the map stands at the start of the stored data. 0.0 and 0.1: it is in the header, and here. */
  readonly isInData: boolean;
}

const keys0 = ["size", "numblocks", "map"] as const;
const keys1 = ["major", "minor", "realsize"] as const;

/** Undefined where the header is one of a plain entry. */
export function paxSparse(
  pax: ReadonlyMap<ByteString, Uint8Array>,
  limits: TarLimits,
): PaxSparse | undefined {
  const values = new Map<string, ByteString>();
  for (const [key, value] of pax) {
    // star's own way, which nobody else reads.
    if (key === "SCHILY.realsize") throw sparse("it is in star's format");
    if (key.startsWith(sparsePrefix)) values.set(key.slice(sparsePrefix.length), byteString(value));
  }
  if (values.size === 0) return undefined;
  const isInData = values.has("major");
  checkKeys(values, isInData ? keys1 : keys0);
  return { map: isInData ? mapInData(values, limits) : mapInHeader(values, limits), isInData };
}

/** All of one version and nothing of another; the name alone may be missing. */
function checkKeys(values: ReadonlyMap<string, ByteString>, wanted: readonly string[]): void {
  const complete = wanted.every((key) => values.has(key));
  const others = [...values.keys()].filter((key) => key !== "name" && !wanted.includes(key));
  if (!complete || others.length > 0) throw sparse("its records are of no known version");
}

function mapInData(values: ReadonlyMap<string, ByteString>, limits: TarLimits): SparseMap {
  if (values.get("major") !== "1" || values.get("minor") !== "0") {
    throw sparse("its records are of no known version");
  }
  return new SparseMap(parseDecimal(values.get("realsize")), limits);
}

function mapInHeader(values: ReadonlyMap<string, ByteString>, limits: TarLimits): SparseMap {
  const map = new SparseMap(parseDecimal(values.get("size")), limits);
  const numbers = (values.get("map") ?? "").split(",");
  if (numbers.length !== 2 * parseDecimal(values.get("numblocks"))) {
    throw sparse("the count of segments is wrong");
  }
  for (let at = 0; at < numbers.length; at += 2) {
    map.add({ offset: parseDecimal(numbers[at]), sizeBytes: parseDecimal(numbers[at + 1]) });
  }
  return map;
}

function parseDecimal(text: ByteString | undefined): number {
  if (text === undefined || !/^\d{1,16}$/.test(text)) throw sparse("not a decimal number");
  return Number(text);
}
