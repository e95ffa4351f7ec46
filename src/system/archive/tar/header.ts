import { byteString, byteStringToZero, type ByteString } from "./byte-string.ts";
import { parseNumber } from "./number.ts";
import { TarRefusal } from "./refusal.ts";

/**
 * The 512-byte header:
 *
 *   0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8
 *   156 type 1 | 157 link name 100 | 257 magic 6, version 2 | 265 user 32 | 297 group 32
 *   329 device major 8 | 337 device minor 8 | 345 prefix 155 (POSIX only) | 500 unused 12
 */
export interface TarHeader {
  readonly dialect: "posix" | "gnu" | "v7";
  /** Prefix and name joined. */
  readonly name: ByteString;
  readonly linkName: ByteString;
  /** The type byte as a character; "\0" is the old regular file. */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Undefined: the field was blank. */
  readonly size: number | undefined;
  readonly mtimeSeconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Throws `TarRefusal`; the caller has made sure that the block is not all zeros. */
export function parseHeader(block: Uint8Array): TarHeader {
  checkChecksum(block);
  const type = String.fromCharCode(block[156] ?? 0);
  const dialect = dialectOf(block);
  const special = dialect !== "v7" && (type === "3" || type === "4");
  return {
    dialect,
    name: joinedName(block, dialect),
    linkName: byteStringToZero(block.subarray(157, 257)),
    type,
    mode: parseNumber(block.subarray(100, 108), "E_NUMBER") ?? 0,
    uid: parseNumber(block.subarray(108, 116), "E_ID") ?? 0,
    gid: parseNumber(block.subarray(116, 124), "E_ID") ?? 0,
    size: parseNumber(block.subarray(124, 136), "E_SIZE"),
    mtimeSeconds: parseMtime(block.subarray(136, 148)),
    // Some writers leave garbage here for everything but devices.
    deviceMajor: special ? (parseNumber(block.subarray(329, 337), "E_NUMBER") ?? 0) : 0,
    deviceMinor: special ? (parseNumber(block.subarray(337, 345), "E_NUMBER") ?? 0) : 0,
  };
}

/** The sum of all bytes with the checksum field as spaces; some old writers summed signed bytes. */
function checkChecksum(block: Uint8Array): void {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < block.length; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  const stored = parseNumber(block.subarray(148, 156), "E_CHECKSUM");
  if (stored !== unsigned && stored !== signed) {
    throw new TarRefusal("E_CHECKSUM", "The checksum of a header does not match");
  }
}

function dialectOf(block: Uint8Array): TarHeader["dialect"] {
  const magic = byteString(block.subarray(257, 265));
  if (magic.startsWith("ustar\0")) return "posix";
  return magic === "ustar  \0" ? "gnu" : "v7";
}

/** Only POSIX archives have a prefix; the GNU format keeps other things in its place. */
function joinedName(block: Uint8Array, dialect: TarHeader["dialect"]): ByteString {
  const name = byteStringToZero(block.subarray(0, 100));
  if (dialect !== "posix") return name;
  // star's dialect shortens the prefix and says so in the last four bytes.
  const star = byteString(block.subarray(508, 512)) === "tar\0";
  const prefix = byteStringToZero(block.subarray(345, star ? 476 : 500));
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** A broken time is no reason to refuse: it is brought into range later. */
function parseMtime(field: Uint8Array): number {
  try {
    return parseNumber(field, "E_NUMBER") ?? 0;
  } catch {
    return 0;
  }
}
