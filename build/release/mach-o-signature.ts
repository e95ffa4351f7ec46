import { createHash } from "node:crypto";

/**
 * macOS on ARM starts no program without a signature. The compiler makes an "ad hoc" one: checksums of all
 * pages, by nobody. This looks whether there is one and every page has its checksum; who signed is not asked,
 * since nobody did. Throws with what is wrong. (Layout: xnu's cs_blobs.h; numbers there are big-endian.)
 */
export function checkMachOSignature(bytes: Buffer): void {
  const blob = signatureBlob(bytes);
  if (blob === undefined) throw new Error("The Mach-O file has no code signature");
  const directory = codeDirectory(blob);
  if (directory === undefined) throw new Error("The code signature has no code directory");
  const hashesAt = directory.readUInt32BE(16);
  const pages = directory.readUInt32BE(28);
  const codeBytes = directory.readUInt32BE(32);
  const hashBytes = directory.readUInt8(36);
  const pageBytes = 2 ** directory.readUInt8(39);
  if (hashBytes !== 32) throw new Error("The code signature is not of SHA-256");
  if (pages !== Math.ceil(codeBytes / pageBytes))
    throw new Error("The code signature does not cover the code");
  for (let page = 0; page < pages; page += 1) {
    const code = bytes.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, codeBytes));
    const at = hashesAt + page * hashBytes;
    if (
      !createHash("sha256")
        .update(code)
        .digest()
        .equals(directory.subarray(at, at + hashBytes))
    )
      throw new Error(`The code signature has another checksum for page ${page}`);
  }
}

/** Where the load command LC_CODE_SIGNATURE points. */
function signatureBlob(bytes: Buffer): Buffer | undefined {
  const commands = bytes.readUInt32LE(16);
  let at = 32;
  for (let count = 0; count < commands; count += 1) {
    if (bytes.readUInt32LE(at) === loadCodeSignature) {
      const start = bytes.readUInt32LE(at + 8);
      return bytes.subarray(start, start + bytes.readUInt32LE(at + 12));
    }
    at += bytes.readUInt32LE(at + 4);
  }
  return undefined;
}

function codeDirectory(blob: Buffer): Buffer | undefined {
  if (blob.length < 12 || blob.readUInt32BE(0) !== embeddedSignature) return undefined;
  const slots = blob.readUInt32BE(8);
  for (let slot = 0; slot < slots; slot += 1) {
    const at = 12 + slot * 8;
    if (blob.readUInt32BE(at) === 0) return blob.subarray(blob.readUInt32BE(at + 4));
  }
  return undefined;
}

const loadCodeSignature = 0x1d;
const embeddedSignature = 0xfade_0cc0;
