import { fsyncSync, linkSync, renameSync, statfsSync } from "node:fs";
import { type Reader, Writer } from "../../../protocol/wire.ts";
import { canonicalPath } from "../../../system/canonical-path.ts";
import { sftpLimits } from "./limits.ts";
import { readAttributes, setOfLink } from "./sftp-attributes.ts";
import { namePacket, packet, readString, replyTypes, statusPacket } from "./sftp-wire.ts";

/** What OpenSSH's clients ask for beyond version 3, by name and version. */
export const extensions = [
  ["posix-rename@openssh.com", "1"],
  ["statvfs@openssh.com", "2"],
  ["hardlink@openssh.com", "1"],
  ["fsync@openssh.com", "1"],
  ["lsetstat@openssh.com", "1"],
  ["limits@openssh.com", "1"],
  ["expand-path@openssh.com", "1"],
] as const;

/** How an extension reads its words. */
export interface ExtensionTools {
  path(reader: Reader): Buffer;
  /** Of an open file. */
  file(reader: Reader): number;
  readonly home: string;
}

export function answerExtended(id: number, reader: Reader, tools: ExtensionTools): Uint8Array {
  switch (readString(reader).toString()) {
    case "posix-rename@openssh.com":
      renameSync(tools.path(reader), tools.path(reader));
      return statusPacket(id, "ok");
    case "hardlink@openssh.com":
      linkSync(tools.path(reader), tools.path(reader));
      return statusPacket(id, "ok");
    case "fsync@openssh.com":
      fsyncSync(tools.file(reader));
      return statusPacket(id, "ok");
    case "lsetstat@openssh.com":
      setOfLink(tools.path(reader), readAttributes(reader));
      return statusPacket(id, "ok");
    case "statvfs@openssh.com":
      return freeSpacePacket(id, tools.path(reader));
    case "limits@openssh.com":
      return limitsPacket(id);
    case "expand-path@openssh.com":
      return namePacket(id, expand(readString(reader), tools));
    default:
      return statusPacket(id, "unsupported");
  }
}

/** `~` is the user's own home; that of others is not looked up. */
function expand(path: Buffer, { home }: ExtensionTools): Buffer {
  const text = path.toString("latin1");
  const rest = /^~(?=\/|$)/.test(text) ? path.subarray(1) : path;
  if (rest === path && text.startsWith("/")) return canonicalPath(path);
  return canonicalPath(Buffer.concat([Buffer.from(home), Buffer.from("/"), rest]));
}

function freeSpacePacket(id: number, path: Buffer): Uint8Array {
  const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(path);
  const body = new Writer(100).u32(id);
  const flags = 0;
  const fileSystem = 0;
  const numbers = [bsize, bsize, blocks, bfree, bavail, files, ffree, ffree, fileSystem, flags];
  for (const number of numbers) body.u64(number);
  return packet(replyTypes.extended, body.u64(nameBytesMax));
}

const nameBytesMax = 255;

function limitsPacket(id: number): Uint8Array {
  const { packetBytesMax, dataBytesMax, handlesMax } = sftpLimits;
  const body = new Writer(40).u32(id);
  for (const limit of [packetBytesMax, dataBytesMax, dataBytesMax, handlesMax]) body.u64(limit);
  return packet(replyTypes.extended, body);
}
