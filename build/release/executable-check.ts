import type { Platform } from "./platforms.ts";
import { checkMachOSignature } from "./mach-o-signature.ts";

/**
 * What can be said of an executable without running it: it is one for that system and processor, and the
 * native half of the QUIC library is in it, byte for byte. Throws with what is wrong.
 */
export function checkExecutable(
  bytes: Buffer,
  platform: Pick<Platform, "system" | "arch">,
  native: Uint8Array,
): void {
  const found = kindOf(bytes);
  const wanted = `${platform.system}-${platform.arch}`;
  if (found !== wanted) throw new Error(`The executable is one for ${found}, not for ${wanted}`);
  if (native.length === 0 || !bytes.includes(native))
    throw new Error("The native QUIC library is not in the executable");
  if (platform.system === "darwin") checkMachOSignature(bytes);
}

/** By the headers of ELF, Mach-O and PE; "something else" for what is none. */
export function kindOf(bytes: Buffer): string {
  if (bytes.length < 64) return "something else";
  if (bytes.readUInt32BE(0) === 0x7f45_4c46) {
    const machine = { 0x3e: "x64", 0xb7: "arm64" }[bytes.readUInt16LE(18)];
    return machine === undefined ? "something else" : `linux-${machine}`;
  }
  if (bytes.readUInt32LE(0) === 0xfeed_facf) {
    const machine = { 0x0100_0007: "x64", 0x0100_000c: "arm64" }[bytes.readUInt32LE(4)];
    return machine === undefined ? "something else" : `darwin-${machine}`;
  }
  if (bytes.readUInt16BE(0) === 0x4d5a) {
    const at = bytes.readUInt32LE(60);
    const isPe = at + 6 <= bytes.length && bytes.readUInt32BE(at) === 0x5045_0000;
    const machine = isPe
      ? { 0x8664: "x64", 0xaa64: "arm64" }[bytes.readUInt16LE(at + 4)]
      : undefined;
    return machine === undefined ? "something else" : `windows-${machine}`;
  }
  return "something else";
}
