import { between, type Random } from "./seed.ts";

/** Numbers around which length checks go wrong. */
const boundaries = [0, 1, 2 ** 7, 2 ** 8, 2 ** 15, 2 ** 16, 2 ** 20, 2 ** 31, 2 ** 32 - 1];

/** One or a few of: bits or bytes flipped, cut at either end, a piece of another, a number set to a boundary. */
export function mutate(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes: Uint8Array = pick(random, corpus).slice();
  for (let count = between(random, 1, 3); count > 0; count--)
    bytes = mutateOnce(random, bytes, corpus);
  return bytes;
}

function mutateOnce(random: Random, bytes: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  if (bytes.length === 0) return pick(random, corpus).slice();
  const at = between(random, 0, bytes.length - 1);
  switch (between(random, 0, 5)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << between(random, 0, 7));
      return bytes;
    case 1:
      bytes[at] = between(random, 0, 255);
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return bytes.subarray(at);
    case 4:
      return splice(bytes.subarray(0, at), random, corpus);
    default:
      return setNumber(random, bytes, at);
  }
}

function splice(head: Uint8Array, random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const other = pick(random, corpus);
  const tail = other.subarray(between(random, 0, other.length));
  const joined = new Uint8Array(head.length + tail.length);
  joined.set(head);
  joined.set(tail, head.length);
  return joined;
}

function setNumber(random: Random, bytes: Uint8Array, at: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const value = pick(random, boundaries) + between(random, -1, 1);
  if (at + 8 <= bytes.length && random() < 0.3)
    view.setBigUint64(at, BigInt.asUintN(64, BigInt(value) * 2n ** BigInt(between(random, 0, 33))));
  else if (at + 4 <= bytes.length) view.setUint32(at, value >>> 0);
  return bytes;
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError("Nothing to pick from");
  return item;
}
