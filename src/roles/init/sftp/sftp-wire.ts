import { Reader, Writer } from "../../../protocol/wire.ts";

/**
 * Version 3 of SFTP, as OpenSSH speaks it (draft-ietf-secsh-filexfer-02 and its PROTOCOL file).
 *
 *   0                 4        5
 *   +-----------------+--------+------------- - -
 *   | length (u32 BE) | type   | id u32 | …
 *   +-----------------+--------+------------- - -
 */
export const requestTypes = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  extended: 200,
} as const;

export const replyTypes = {
  version: 2,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 201,
} as const;

export const statuses = {
  ok: 0,
  endOfFile: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const;
export type StatusName = keyof typeof statuses;

/** A string of bytes: file names have no encoding. */
export function readString(reader: Reader): Buffer {
  const bytes = reader.bytes(reader.u32());
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function writeString(writer: Writer, bytes: Uint8Array | string): Writer {
  const encoded = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  return writer.u32(encoded.length).bytes(encoded);
}

/** A whole packet, length and type included. */
export function packet(type: number, body: Writer): Uint8Array {
  const bytes = body.finish();
  return new Writer(5 + bytes.length)
    .u32(1 + bytes.length)
    .u8(type)
    .bytes(bytes)
    .finish();
}

export function statusPacket(id: number, status: StatusName, message = ""): Uint8Array {
  const body = new Writer().u32(id).u32(statuses[status]);
  // The text, and the language of the text.
  return packet(replyTypes.status, writeString(writeString(body, message), ""));
}

/** One name without attributes, as answers to questions for a name are. */
export function namePacket(id: number, name: Buffer): Uint8Array {
  const body = writeString(writeString(new Writer().u32(id).u32(1), name), name);
  return packet(replyTypes.name, body.u32(0));
}
