import { ArchiveFormat } from "./archive-error.ts";

export type Compression = "gzip" | "zstd" | "none";

/** As many bytes as `detectCompression` wants to see. */
export const magicBytes = 6;

const supported = "Pack it as tar, tar.gz or tar.zst";

const foreign: readonly { readonly magic: readonly number[]; readonly name: string }[] = [
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], name: "an xz archive" },
  { magic: [0x42, 0x5a, 0x68], name: "a bzip2 archive" },
  { magic: [0x50, 0x4b, 0x03, 0x04], name: "a zip archive" },
  { magic: [0x04, 0x22, 0x4d, 0x18], name: "an lz4 archive" },
  { magic: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], name: "a 7-Zip archive" },
  { magic: [0x68, 0x73, 0x71, 0x73], name: "a squashfs image" },
];

/** What the first bytes say. Anything unknown is taken for a plain tar: its first checksum will tell. */
export function detectCompression(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (matches(start, [0x28, 0xb5, 0x2f, 0xfd])) return "zstd";
  if (matches(start.subarray(1), [0x2a, 0x4d, 0x18]) && (start[0] ?? 0) >> 4 === 5) return "zstd";
  for (const { magic, name } of foreign) {
    if (matches(start, magic)) throw new ArchiveFormat(`The file is ${name}`, supported);
  }
  return "none";
}

export function notAnArchive(): ArchiveFormat {
  return new ArchiveFormat("The file is no tar archive", supported);
}

function matches(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}
