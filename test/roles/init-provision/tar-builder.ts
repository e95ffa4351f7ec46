/** Writes archives byte by byte, the ones no tar program would make included. Names are byte strings (latin1). */
export interface HeaderFields {
  name?: string;
  prefix?: string;
  type?: string;
  link?: string;
  /** A number is written in octal; text or bytes as they are. */
  mode?: number | string | Uint8Array;
  uid?: number | string | Uint8Array;
  gid?: number | string | Uint8Array;
  size?: number | string | Uint8Array;
  mtime?: number | string | Uint8Array;
  major?: number;
  minor?: number;
  magic?: "ustar" | "gnu" | "v7";
  checksum?: "right" | "wrong" | "signed" | "zero";
}

export function header(fields: HeaderFields): Uint8Array {
  const block = new Uint8Array(512);
  put(block, 0, 100, fields.name ?? "file");
  put(block, 100, 8, fields.mode ?? 0o644);
  put(block, 108, 8, fields.uid ?? 0);
  put(block, 116, 8, fields.gid ?? 0);
  put(block, 124, 12, fields.size ?? 0);
  put(block, 136, 12, fields.mtime ?? 1_700_000_000);
  put(block, 156, 1, fields.type ?? "0");
  put(block, 157, 100, fields.link ?? "");
  const magic = { ustar: "ustar\x0000", gnu: "ustar  \0", v7: "" }[fields.magic ?? "ustar"];
  put(block, 257, 8, magic);
  if (fields.major !== undefined) put(block, 329, 8, fields.major);
  if (fields.minor !== undefined) put(block, 337, 8, fields.minor);
  put(block, 345, 155, fields.prefix ?? "");
  return withChecksum(block, fields.checksum ?? "right");
}

function withChecksum(block: Uint8Array, kind: "right" | "wrong" | "signed" | "zero"): Uint8Array {
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += kind === "signed" && byte > 127 ? byte - 256 : byte;
  if (kind === "wrong") sum += 1;
  block.fill(0, 148, 156);
  if (kind !== "zero") put(block, 148, 8, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function put(block: Uint8Array, at: number, length: number, value: number | string | Uint8Array) {
  let bytes: Uint8Array;
  if (typeof value === "number") {
    bytes = Buffer.from(value.toString(8).padStart(length - 1, "0"), "latin1");
  } else {
    bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  }
  if (bytes.length > length) throw new RangeError(`${bytes.length} bytes for a field of ${length}`);
  block.set(bytes, at);
}

export function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  whole.set(bytes);
  return whole;
}

export function file(name: string, content: string | Uint8Array = "x", more: HeaderFields = {}) {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  return concat(header({ name, size: bytes.length, ...more }), padded(bytes));
}

export const dir = (name: string, more: HeaderFields = {}) =>
  header({ name, type: "5", mode: 0o755, ...more });
export const symlink = (name: string, link: string, more: HeaderFields = {}) =>
  header({ name, link, type: "2", mode: 0o777, ...more });
export const hardlink = (name: string, link: string, more: HeaderFields = {}) =>
  header({ name, link, type: "1", ...more });
export const fifo = (name: string, more: HeaderFields = {}) => header({ name, type: "6", ...more });
export const device = (name: string, type: "3" | "4", major: number, minor: number) =>
  header({ name, type, major, minor });

/** A PAX header with these records; `paxRaw` takes the body as it is. */
export function pax(records: readonly (readonly [string, string | Uint8Array])[], type = "x") {
  return paxRaw(concat(...records.map(([key, value]) => paxRecord(key, value))), type);
}

export function paxRaw(body: string | Uint8Array, type = "x") {
  return file("PaxHeaders/x", body, { type });
}

function paxRecord(key: string, value: string | Uint8Array): Uint8Array {
  const text = Buffer.from(` ${key}=`, "latin1");
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  const rest = text.length + bytes.length + 1;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return concat(Buffer.from(String(length)), text, bytes, Buffer.from("\n"));
}

export function gnuLong(type: "L" | "K", body: string) {
  return file("././@LongLink", body, { type, magic: "gnu" });
}

export const endMark = new Uint8Array(1024);

/** The parts, then the end mark. */
export function archive(...parts: readonly Uint8Array[]): Uint8Array {
  return concat(...parts, endMark);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Base-256: the top bit set, then a big-endian two's complement number. */
export function base256(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let at = length - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}
