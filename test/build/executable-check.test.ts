import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { checkExecutable, kindOf } from "../../build/release/executable-check.ts";
import { checkMachOSignature } from "../../build/release/mach-o-signature.ts";
import { adHocSigned, signedFor } from "../../build/release/mach-o-signing.ts";

const native = Buffer.from("the native half");

test("kindOf tells systems and processors apart by their headers", async () => {
  expect(kindOf(await readFile(process.execPath))).toBe(`linux-${process.arch}`);
  expect(kindOf(machO())).toBe("darwin-arm64");
  expect(kindOf(pe(0x8664))).toBe("windows-x64");
  expect(kindOf(pe(0xaa64))).toBe("windows-arm64");
  const nothing = [Buffer.alloc(0), Buffer.from("#!/bin/sh\n"), Buffer.alloc(100), pe(0x14c)];
  expect(nothing.map(kindOf)).toEqual(nothing.map(() => "something else"));
});

test("checkExecutable refuses another system, and one without its native library", () => {
  const windows = { system: "windows", arch: "x64" } as const;
  const bytes = Buffer.concat([pe(0x8664), native]);
  expect(() => checkExecutable(bytes, windows, native)).not.toThrow();
  expect(() => checkExecutable(bytes, { system: "linux", arch: "x64" }, native)).toThrow(
    "one for windows-x64, not for linux-x64",
  );
  expect(() => checkExecutable(pe(0x8664), windows, native)).toThrow("native");
  expect(() => checkExecutable(bytes, windows, Buffer.alloc(0))).toThrow("native");
});

test("a Mach-O file must be signed, over all of its pages", () => {
  const mac = { system: "darwin", arch: "arm64" } as const;
  const signed = machO();
  expect(() => checkExecutable(signed, mac, native)).not.toThrow();
  const changed = Buffer.from(signed);
  changed[5000] = 1;
  expect(() => checkMachOSignature(changed)).toThrow("another checksum for page 1");
  const short = Buffer.from(signed);
  short.writeUInt32BE(1, codeBytes + 20 + 28);
  expect(() => checkMachOSignature(short)).toThrow("does not cover");
  const unsigned = Buffer.from(signed);
  unsigned.writeUInt32LE(0x1b, 32);
  expect(() => checkMachOSignature(unsigned)).toThrow("no code signature");
});

test("adHocSigned signs what was changed, and what is signed already in the same way", () => {
  const changed = machO();
  changed[5000] = 1;
  const signed = adHocSigned(changed);
  expect(() => checkMachOSignature(signed)).not.toThrow();
  expect(adHocSigned(signed)).toEqual(signed);
  expect(signedFor({ system: "darwin", arch: "arm64" }, changed)).toBe(changed);
  expect(signedFor({ system: "darwin", arch: "x64" }, changed)).toEqual(signed);
  // The last segment grows with the signature, in the file and in memory.
  const [sizeInMemory, , sizeInFile] = [136, 144, 152].map((at) => signed.readBigUInt64LE(at));
  expect(sizeInFile).toBe(BigInt(signed.length - 8192));
  expect(sizeInMemory).toBe(0x4000n);
  expect(() => adHocSigned(Buffer.alloc(64))).toThrow("no place for a signature");
});

const codeBytes = 10_000;

/** Header, signature command and two segments, code with the native library in it; signed. */
function machO(): Buffer {
  const code = Buffer.alloc(codeBytes + 16);
  code.writeUInt32LE(0xfeed_facf, 0);
  code.writeUInt32LE(0x0100_000c, 4);
  code.writeUInt32LE(3, 16);
  for (const [index, number] of [0x1d, 16, codeBytes, 16].entries())
    code.writeUInt32LE(number, 32 + index * 4);
  writeSegment(code, 48, { name: "__TEXT", fileAt: 0n });
  writeSegment(code, 104, { name: "__LINKEDIT", fileAt: 8192n });
  native.copy(code, 200);
  return adHocSigned(code);
}

function writeSegment(
  code: Buffer,
  at: number,
  { name, fileAt }: { readonly name: string; readonly fileAt: bigint },
): void {
  code.writeUInt32LE(0x19, at);
  code.writeUInt32LE(56, at + 4);
  code.write(name, at + 8, "latin1");
  code.writeBigUInt64LE(fileAt, at + 40);
}

function pe(machine: number): Buffer {
  const bytes = Buffer.alloc(256);
  bytes.write("MZ", 0);
  bytes.writeUInt32LE(128, 60);
  bytes.write("PE\0\0", 128, "latin1");
  bytes.writeUInt16LE(machine, 132);
  return bytes;
}
