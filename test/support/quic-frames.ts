import { pick } from "./mutation.ts";
import { between, type Random, randomBytes } from "./seed.ts";

/** Frames of QUIC (RFC 9000, 19) as a peer that holds the keys may send them, in and out of order and range. */

/** A variable-length integer in its shortest form; beyond 62 bits the top is cut. */
export function varint(value: bigint | number): Uint8Array {
  const number = BigInt.asUintN(62, BigInt(value));
  const power = number < 64n ? 0 : number < 16_384n ? 1 : number < 2n ** 30n ? 2 : 3;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(number << BigInt(64 - 8 * (1 << power)));
  bytes[0] = (bytes[0] ?? 0) | (power << 6);
  return bytes.subarray(0, 1 << power);
}

/** Numbers that count: mostly small, now and then at an edge of what fits. */
function anyNumber(random: Random): bigint {
  if (random() < 0.85) return BigInt(between(random, 0, 200));
  const edge = 1n << BigInt(pick(random, [7, 8, 14, 16, 30, 31, 32, 53, 60, 61, 62]));
  return edge + BigInt(between(random, -1, 1));
}

/** A stream that a client may open. */
function clientStream(random: Random): bigint {
  return random() < 0.9 ? BigInt(4 * between(random, 0, 20)) : anyNumber(random);
}

function frame(type: number, ...fields: readonly (bigint | number | Uint8Array)[]): Uint8Array {
  const parts = fields.map((field) => (field instanceof Uint8Array ? field : varint(field)));
  return Buffer.concat([varint(type), ...parts]);
}

/** One that a well-behaved peer could send as well: the connection lives on. */
export function plausibleFrame(random: Random): Uint8Array {
  const stream = 4 * between(random, 0, 20);
  const data = randomBytes(random, between(random, 0, 60));
  return pick(random, [
    () => frame(0x01),
    () => frame(0x00),
    () => frame(0x1a, randomBytes(random, 8)),
    () => frame(0x0e, stream, between(random, 0, 3000), data.length, data),
    () => frame(0x0a, stream, data.length, data),
    () => frame(0x10, anyNumber(random)),
    () => frame(0x11, stream, anyNumber(random)),
    () => frame(0x12, between(random, 0, 1000)),
    () => frame(0x14, anyNumber(random)),
    () => frame(0x15, stream, anyNumber(random)),
    () => frame(0x16, between(random, 0, 1000)),
    () => frame(0x05, stream, anyNumber(random)),
    // The only spare id there is room for, always the same one.
    () => frame(0x18, 1, 0, 20, new Uint8Array(36).fill(7)),
  ])();
}

/** One of any kind, with any numbers. */
export function anyFrame(random: Random): Uint8Array {
  const number = (): bigint => anyNumber(random);
  const data = randomBytes(random, between(random, 0, 100));
  const length = random() < 0.9 ? data.length : number();
  return pick(random, [
    () => plausibleFrame(random),
    () => acknowledgement(random),
    () => frame(0x04, clientStream(random), number(), number()),
    () => frame(0x05, clientStream(random), number()),
    () => frame(0x06, number(), length, data),
    () => frame(0x06, 0, data.length + 4, Uint8Array.of(4, 0, 0, data.length), data),
    () => frame(0x07, length, data),
    () => frame(between(random, 0x08, 0x0f), clientStream(random), number(), length, data),
    () => frame(0x11, clientStream(random), number()),
    () => frame(pick(random, [0x12, 0x13, 0x16, 0x17]), number()),
    () => newConnectionId(random, number(), number()),
    () => frame(0x19, number()),
    () => frame(0x1b, randomBytes(random, 8)),
    () => frame(0x1c, number(), number(), length, data),
    () => frame(0x1d, number(), length, data),
    () => frame(0x1e),
    () => frame(pick(random, [0x30, 0x31]), length, data),
    () => frame(between(random, 0x1f, 0x4000), data),
  ])();
}

/** Of packets sent, not sent and never to be sent. */
function acknowledgement(random: Random): Uint8Array {
  const ranges = between(random, 0, 6);
  const pairs = Array.from({ length: 2 * ranges }, () => anyNumber(random));
  const count = random() < 0.9 ? ranges : anyNumber(random);
  const ecn = random() < 0.2 ? [anyNumber(random), anyNumber(random), anyNumber(random)] : [];
  const head = [anyNumber(random), anyNumber(random), count, anyNumber(random)];
  return frame(ecn.length > 0 ? 0x03 : 0x02, ...head, ...pairs, ...ecn);
}

function newConnectionId(
  random: Random,
  sequence: bigint | number,
  retirePriorTo: bigint | number,
): Uint8Array {
  const length = random() < 0.9 ? 20 : between(random, 0, 21);
  const id = Buffer.concat([Uint8Array.of(length), randomBytes(random, length)]);
  return frame(0x18, sequence, retirePriorTo, id, randomBytes(random, 16));
}
