/** Writes the few DER types a certificate needs (X.690); definite lengths, nothing else. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  return Buffer.concat([Uint8Array.of(tag, ...lengthBytes(body.byteLength)), body]);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  return [0x82, length >> 8, length & 0xff];
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(0x30, ...parts);
export const set = (...parts: readonly Uint8Array[]): Uint8Array => der(0x31, ...parts);
export const utf8String = (text: string): Uint8Array => der(0x0c, Buffer.from(text, "utf8"));

/** An unsigned integer from big-endian bytes: no needless leading zero, and a zero where the sign bit would be set. */
export function unsigned(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.byteLength - 1 && bytes[start] === 0) start++;
  const body = bytes.subarray(start);
  const first = body[0] ?? 0;
  return first & 0x80 ? der(0x02, Uint8Array.of(0), body) : der(0x02, body);
}

export function bitString(bytes: Uint8Array): Uint8Array {
  return der(0x03, Uint8Array.of(0), bytes);
}

export function explicit(number: number, body: Uint8Array): Uint8Array {
  return der(0xa0 | number, body);
}

/** Object identifier from its dotted form. */
export function objectId(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) bytes.push(...base128(arc));
  return der(0x06, Uint8Array.from(bytes));
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift((rest & 0x7f) | 0x80);
  return bytes;
}

/** Years 1950 to 2049, as certificates must write them (RFC 5280, 4.1.2.5.1). */
export function utcTime(at: Date): Uint8Array {
  const digits = at.toISOString().replaceAll(/[-:T]/g, "").slice(2, 14);
  return der(0x17, Buffer.from(`${digits}Z`, "ascii"));
}
