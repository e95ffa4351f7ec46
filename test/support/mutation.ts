import { between, type Random } from "./seed.ts";

/** Numbers around which length and range checks go wrong, each with its neighbours. */
const boundaries: readonly bigint[] = [0, 7, 8, 15, 16, 20, 24, 31, 32, 53, 62, 63, 64].flatMap(
  (power) => [-1n, 0n, 1n].map((near) => BigInt.asUintN(64, (1n << BigInt(power)) + near)),
);
const bigEndian = boundaries.map((value) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
});
const littleEndian = bigEndian.map((bytes) => bytes.toReversed());
const decimal = boundaries.map((value) => Buffer.from(String(value), "latin1"));
const widths = [1, 2, 3, 4, 8] as const;

/**
 * One of the corpus, damaged once to four times: half of the time by bits or bytes alone, else cut at
 * either end, spliced with another, a piece of it repeated, or a number in it set to a boundary.
 */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = copied(pick(random, corpus));
  for (let count = 1 + Math.floor(random() * random() * 4); count > 0; count--)
    bytes = mutateOnce(random, bytes, corpus);
  return bytes;
}

function mutateOnce(random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  if (bytes.length === 0) return copied(pick(random, corpus));
  const at = Math.floor(random() * bytes.length);
  switch (Math.floor(random() * 12)) {
    case 6:
      return bytes.subarray(0, at);
    case 7:
      return bytes.subarray(at);
    case 8:
      return joined(bytes.subarray(0, at), tailOf(pick(random, corpus), random));
    case 9:
      return joined(bytes.subarray(0, at), bytes.subarray(between(random, 0, at)));
    case 10:
      return setDecimal(random, bytes, at);
    default:
      damage(random, bytes, at);
      return bytes;
  }
}

/** Not by `slice`, which of a Buffer gives a view: damage would stay in the corpus. */
function copied(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** In place and of the same length: a bit, a byte, or a binary number of a length that fits. */
export function damage(random: Random, bytes: Uint8Array, at: number): void {
  const choice = random();
  if (choice < 0.4) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  else if (choice < 0.8) bytes[at] = random() * 256;
  else setNumber(random, bytes, at);
}

function setNumber(random: Random, bytes: Uint8Array, at: number): void {
  const width = Math.min(pick(random, widths), bytes.length - at);
  const big = random() < 0.7;
  const value = pick(random, big ? bigEndian : littleEndian);
  bytes.set(big ? value.subarray(8 - width) : value.subarray(0, width), at);
}

/** The digits around `at` are another number; without any, one is put in. */
function setDecimal(random: Random, bytes: Uint8Array, at: number): Uint8Array {
  let [start, end] = [at, at];
  while (start > 0 && isDigit(bytes[start - 1])) start -= 1;
  while (isDigit(bytes[end])) end += 1;
  return joined(bytes.subarray(0, start), pick(random, decimal), bytes.subarray(end));
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function tailOf(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.subarray(between(random, 0, bytes.length));
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError("Nothing to pick from");
  return item;
}
