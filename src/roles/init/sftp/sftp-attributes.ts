import {
  chmodSync,
  chownSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  type Stats,
  truncateSync,
  utimesSync,
} from "node:fs";
import type { Reader, Writer } from "../../../protocol/wire.ts";
import { readString } from "./sftp-wire.ts";

/** What a client may set of a file; absent is left as it is. */
export interface Attributes {
  readonly size?: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly mode?: number;
  /** Seconds since 1970. */
  readonly times?: { readonly access: number; readonly change: number };
}

const flags = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x8000_0000 } as const;

export function readAttributes(reader: Reader): Attributes {
  const present = reader.u32();
  const has = (flag: number): boolean => (present & flag) !== 0;
  const attributes: Attributes = {
    ...(has(flags.size) ? { size: reader.u64() } : {}),
    ...(has(flags.owner) ? { owner: { uid: reader.u32(), gid: reader.u32() } } : {}),
    ...(has(flags.mode) ? { mode: reader.u32() & 0o7777 } : {}),
    ...(has(flags.times) ? { times: { access: reader.u32(), change: reader.u32() } } : {}),
  };
  if (has(flags.extended)) {
    for (let left = reader.u32(); left > 0; left--) {
      readString(reader);
      readString(reader);
    }
  }
  return attributes;
}

export function writeAttributes(writer: Writer, stats: Stats): Writer {
  return writer
    .u32(flags.size | flags.owner | flags.mode | flags.times)
    .u64(stats.size)
    .u32(stats.uid)
    .u32(stats.gid)
    .u32(stats.mode)
    .u32(seconds(stats.atimeMs))
    .u32(seconds(stats.mtimeMs));
}

/** In the order of OpenSSH: the owner last, since a change of it takes the set-user bits away. */
export function setOfPath(path: Buffer, attributes: Attributes): void {
  const { size, mode, times, owner } = attributes;
  if (size !== undefined) truncateSync(path, size);
  if (mode !== undefined) chmodSync(path, mode);
  if (times !== undefined) utimesSync(path, times.access, times.change);
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
}

/** Of a link itself: its size and mode cannot be set. */
export function setOfLink(path: Buffer, { times, owner }: Attributes): void {
  if (times !== undefined) lutimesSync(path, times.access, times.change);
  if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
}

export function setOfFile(fd: number, { size, mode, times, owner }: Attributes): void {
  if (size !== undefined) ftruncateSync(fd, size);
  if (mode !== undefined) fchmodSync(fd, mode);
  if (times !== undefined) futimesSync(fd, times.access, times.change);
  if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
}

/** What fits: version 3 knows no time before 1970 or after 2106. */
function seconds(ms: number): number {
  return Math.min(Math.max(Math.floor(ms / 1000), 0), 0xffff_ffff);
}
