import { TarRefusal, type TarReason } from "./refusal.ts";

/**
 * A numeric field of a header, after GNU tar: octal digits, spaces allowed before, spaces and zeros
 * after; or, where the first byte has its top bit set, a big-endian two's complement number in the
 * remaining bits ("base-256"). Anything else is refused: readers that guess differently see different archives.
 * Returns undefined for a blank field.
 */
export function parseNumber(field: Uint8Array, reason: TarReason): number | undefined {
  const first = field[0] ?? 0;
  return (first & 0x80) === 0 ? parseOctal(field, reason) : parseBase256(field, reason);
}

function parseOctal(field: Uint8Array, reason: TarReason): number | undefined {
  let at = 0;
  while (field[at] === 0x20) at++;
  const start = at;
  let value = 0;
  for (; at < field.length; at++) {
    const digit = (field[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  const blank = at === start;
  for (; at < field.length; at++) {
    if (field[at] !== 0 && field[at] !== 0x20) throw new TarRefusal(reason, "Not an octal number");
  }
  return blank ? undefined : value;
}

function parseBase256(field: Uint8Array, reason: TarReason): number {
  const first = field[0] ?? 0;
  const negative = (first & 0x40) !== 0;
  // Sign extension of the 7 bits beside the marker.
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  if (!Number.isSafeInteger(value)) throw new TarRefusal(reason, "Number out of range");
  return value;
}
