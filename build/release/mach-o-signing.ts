import { createHash } from "node:crypto";
import type { Platform } from "./platforms.ts";

/**
 * The compiler signs what it makes for macOS on ARM; on Intel it leaves the signature of Bun's own executable,
 * which covers other bytes (oven-sh/bun#39837), and macOS may kill the program. So that one is signed here.
 */
export function signedFor(
  { system, arch }: Pick<Platform, "system" | "arch">,
  bytes: Buffer,
): Buffer {
  return system === "darwin" && arch === "x64" ? adHocSigned(bytes) : bytes;
}

/**
 * The file with an "ad hoc" signature in place of the one it has, as `codesign --sign -` makes it: checksums
 * of all pages, by nobody. (Layout: loader.h and xnu's cs_blobs.h; numbers of signatures are big-endian.)
 */
export function adHocSigned(bytes: Buffer): Buffer {
  const command = find(bytes, loadCodeSignature);
  const text = find(bytes, loadSegment64, "__TEXT");
  const linkEdit = find(bytes, loadSegment64, "__LINKEDIT");
  const codeBytes = bytes.readUInt32LE(command + 8);
  const code = Buffer.from(bytes.subarray(0, codeBytes));
  const pages = Math.ceil(codeBytes / pageBytes);
  const hashesAt = directoryBytes + identifier.length;
  const length = hashesAt + pages * hashBytes;
  const blobBytes = Math.ceil((headBytes + length) / 16) * 16;

  // These are part of the first page: they come before its checksum.
  code.writeUInt32LE(blobBytes, command + 12);
  const linkEditBytes = BigInt(codeBytes + blobBytes) - code.readBigUInt64LE(linkEdit + 40);
  code.writeBigUInt64LE(linkEditBytes, linkEdit + 48);
  const memoryBytes = ((linkEditBytes + 0x3fffn) / 0x4000n) * 0x4000n;
  if (code.readBigUInt64LE(linkEdit + 32) < memoryBytes)
    code.writeBigUInt64LE(memoryBytes, linkEdit + 32);

  const blob = Buffer.alloc(blobBytes);
  writeNumbers(blob, 0, [embeddedSignature, headBytes + length, 1, 0, headBytes]);
  const directory = blob.subarray(headBytes);
  const flags = 0x2_0002; // ad hoc, by a linker: `codesign` may put another one in its place
  writeNumbers(directory, 0, [codeDirectory, length, 0x2_0400, flags, hashesAt, directoryBytes]);
  writeNumbers(directory, 24, [0, pages, codeBytes]);
  directory.set([hashBytes, sha256Type, 0, Math.log2(pageBytes)], 36);
  directory.writeBigUInt64BE(code.readBigUInt64LE(text + 40), 64);
  directory.writeBigUInt64BE(code.readBigUInt64LE(text + 48), 72);
  directory.writeBigUInt64BE(1n, 80); // the main executable
  directory.set(identifier, directoryBytes);
  for (let page = 0; page < pages; page += 1) {
    const content = code.subarray(page * pageBytes, (page + 1) * pageBytes);
    directory.set(createHash("sha256").update(content).digest(), hashesAt + page * hashBytes);
  }
  return Buffer.concat([code, blob]);
}

/** Where the load command is; of segments the one of that name. */
function find(bytes: Buffer, wanted: number, segment?: string): number {
  let at = 32;
  for (let count = bytes.readUInt32LE(16); count > 0; count -= 1) {
    const name = bytes.toString("latin1", at + 8, at + 24).replace(/\0+$/, "");
    if (bytes.readUInt32LE(at) === wanted && (segment === undefined || name === segment)) return at;
    at += bytes.readUInt32LE(at + 4);
  }
  throw new Error(`The Mach-O file has no ${segment ?? "place for a signature"}`);
}

function writeNumbers(target: Buffer, at: number, numbers: readonly number[]): void {
  for (const [index, number] of numbers.entries()) target.writeUInt32BE(number, at + index * 4);
}

const loadCodeSignature = 0x1d;
const loadSegment64 = 0x19;
const embeddedSignature = 0xfade_0cc0;
const codeDirectory = 0xfade_0c02;
const sha256Type = 2;
const identifier = Buffer.from("fly-vault\0");
const headBytes = 20;
const directoryBytes = 88;
const hashBytes = 32;
const pageBytes = 4096;
