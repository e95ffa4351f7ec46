import { byteString, type ByteString } from "./byte-string.ts";
import { TarRefusal } from "./refusal.ts";
import { RepeatedPairs, sparsePrefix } from "./sparse-pax.ts";

/** Keys that decide where bytes go: given twice, readers disagree about which one counts. */
const onceKeys: ReadonlySet<string> = new Set(["path", "linkpath", "size"]);

/** Keys a global header may carry, since they change nothing about any entry. */
const globalKeys: ReadonlySet<string> = new Set(["comment"]);

/** Attributes we know but ignore when global are refused there too: silently losing an owner is no better. */
const meaningfulPrefixes = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  sparsePrefix,
  "SCHILY.",
  "LIBARCHIVE.",
  "RHT.",
  "hdrcharset",
];

/**
 * The records of a PAX extended header: `length SP key=value LF`, the length counting the whole
 * record in decimal. Values are raw bytes. Throws `TarRefusal`.
 */
export function parsePax(body: Uint8Array): ReadonlyMap<ByteString, Uint8Array> {
  const records = new Map<ByteString, Uint8Array>();
  const pairs = new RepeatedPairs();
  let at = 0;
  while (at < body.length) {
    const { length, digits } = recordLength(body, at);
    const record = body.subarray(at + digits + 1, at + length - 1);
    const equals = record.indexOf(0x3d);
    if (equals < 1 || body[at + length - 1] !== 0x0a) throw syntax();
    const key = byteString(record.subarray(0, equals));
    // For readers in C the key ends here, and the value never begins.
    if (key.includes("\0")) throw syntax();
    const value = record.subarray(equals + 1);
    at += length;
    if (pairs.take(key, value)) continue;
    if (records.has(key) && (onceKeys.has(key) || key.startsWith(sparsePrefix))) {
      throw new TarRefusal("E_PAX_SYNTAX", `A PAX header gives "${key}" twice`);
    }
    records.set(key, value);
  }
  pairs.addTo(records);
  return records;
}

/** A global header would change every later entry at once; only a comment is let through. */
export function checkGlobal(records: ReadonlyMap<ByteString, Uint8Array>): void {
  for (const key of records.keys()) {
    if (globalKeys.has(key)) continue;
    if (meaningfulPrefixes.some((prefix) => key.startsWith(prefix))) {
      throw new TarRefusal("E_PAX_GLOBAL", `A global PAX header sets "${key.slice(0, 40)}"`);
    }
  }
}

function recordLength(body: Uint8Array, at: number): { length: number; digits: number } {
  let length = 0;
  let digits = 0;
  for (;;) {
    const byte = body[at + digits];
    if (byte === 0x20 && digits > 0) break;
    const digit = (byte ?? 0) - 0x30;
    if (digit < 0 || digit > 9 || digits === 8) throw syntax();
    length = length * 10 + digit;
    digits++;
  }
  // The shortest record is "5 k=\n".
  if (length < digits + 4 || at + length > body.length) throw syntax();
  return { length, digits };
}

function syntax(): TarRefusal {
  return new TarRefusal("E_PAX_SYNTAX", "A PAX header is malformed");
}
