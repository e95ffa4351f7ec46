import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import { OutputBudget, OutputRing } from "../../src/protocol/session-output.ts";
import { seeded } from "../support/seed.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("OutputRing keeps exactly the last bytes of its capacity", () => {
  const ring = new OutputRing(new OutputBudget(), 4);
  ring.append(bytes("abcdef"));
  expect([ring.startOffset, ring.endOffset]).toEqual([2, 6]);
  expect(ring.readFrom(0)).toEqual({ kind: "gap", from: 0, to: 2 });
  expect(ring.readFrom(2)).toEqual({ kind: "data", offset: 2, bytes: bytes("cdef") });
  expect(ring.readFrom(5, 10)).toEqual({ kind: "data", offset: 5, bytes: bytes("f") });
  expect(ring.readFrom(6)).toEqual({ kind: "wait" });
  ring.finish();
  expect(ring.readFrom(6)).toEqual({ kind: "end" });
  expect(() => ring.readFrom(7)).toThrow(ProtocolError);
  expect(() => ring.append(bytes("g"))).toThrow(ProtocolError);
});

test("offsetOfLastLines agrees with a search in all that was written", () => {
  const part = fc.oneof(fc.constantFrom("\n", "a\n", "bc", "\n\n"), fc.constant("x".repeat(5000)));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20_000 }),
      fc.array(part),
      fc.nat(12),
      (capacity, parts, lines) => {
        const ring = new OutputRing(new OutputBudget(), capacity);
        for (const text of parts) ring.append(bytes(text));
        const all = parts.join("");
        const begins = [...all.matchAll(/\n/g)].map(({ index }) => index + 1);
        const found =
          [all.length, ...begins.filter((at) => at < all.length).toReversed()][lines] ?? 0;
        const offset = ring.offsetOfLastLines(lines);
        // Whether a line begins with the first byte that is kept is told by the one before, which is not.
        if (found === ring.startOffset) expect([0, found]).toContain(offset);
        else expect(offset).toBe(found < ring.startOffset ? 0 : found);
      },
    ),
    seeded(300),
  );
});

test("OutputRing agrees with one long array, whatever is appended and read", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ append: fc.integer({ min: 0, max: 150_000 }) }),
      fc.record({ read: fc.nat(400_000), bytesMax: fc.integer({ min: 1, max: 70_000 }) }),
    ),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200_000 }), steps, (capacity, actions) => {
      const ring = new OutputRing(new OutputBudget(), capacity);
      let end = 0;
      for (const action of actions) {
        if ("append" in action) {
          ring.append(pattern(end, action.append));
          end += action.append;
          expect(ring.startOffset).toBe(Math.max(0, end - capacity));
          expect(ring.heldBytes).toBeLessThanOrEqual(capacity + 2 * 64 * 1024);
        } else if (action.read < end) {
          const read = ring.readFrom(action.read, action.bytesMax);
          if (action.read < end - capacity)
            expect(read).toEqual({ kind: "gap", from: action.read, to: end - capacity });
          else if (read.kind !== "data") throw new Error(`${read.kind} where data was due`);
          else {
            expect(read.bytes.length).toBeGreaterThan(0);
            expect(read.bytes.length).toBeLessThanOrEqual(action.bytesMax);
            expect(Buffer.compare(read.bytes, pattern(action.read, read.bytes.length))).toBe(0);
          }
        }
      }
    }),
    seeded(300),
  );
});

test("bytes read stay as they were when the ring has moved on", () => {
  const ring = new OutputRing(new OutputBudget(), 100_000);
  ring.append(pattern(0, 100_000));
  const read = ring.readFrom(10, 1000);
  for (let end = 100_000; end < 1_000_000; end += 100_000) ring.append(pattern(end, 100_000));
  expect(read).toEqual({ kind: "data", offset: 10, bytes: pattern(10, 1000) });
});

test("roomBefore is what can be appended before the byte at an offset is lost", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.nat(9000),
      fc.nat(9000),
      (capacity, written, behind) => {
        const ring = new OutputRing(new OutputBudget(), capacity);
        ring.append(pattern(0, written));
        const offset = Math.max(0, written - behind);
        const room = ring.roomBefore(offset);
        ring.append(pattern(written, room));
        if (offset >= written - capacity) expect(ring.startOffset).toBeLessThanOrEqual(offset);
        ring.append(pattern(written + room, 1));
        expect(ring.startOffset).toBeGreaterThan(offset);
      },
    ),
    seeded(500),
  );
});

test("a ring of the default size holds ringBytes", () => {
  const ring = new OutputRing(new OutputBudget());
  for (let end = 0; end < limits.ringBytes + 300_000; end += 100_000)
    ring.append(pattern(0, 100_000));
  expect(ring.endOffset - ring.startOffset).toBe(limits.ringBytes);
  expect(ring.heldBytes).toBeLessThanOrEqual(limits.ringBytes + 2 * 64 * 1024);
});

test("OutputBudget takes from the largest ring when all together reach the limit", () => {
  const budget = new OutputBudget(1_000_000);
  const large = new OutputRing(budget, 900_000);
  const small = new OutputRing(budget, 900_000);
  large.append(pattern(0, 900_000));
  small.append(pattern(0, 50_000));
  expect(budget.heldBytes).toBeLessThanOrEqual(1_000_000);
  expect(small.startOffset).toBe(0);
  small.append(pattern(50_000, 400_000));
  expect(budget.heldBytes).toBeLessThanOrEqual(1_000_000);
  expect(small.startOffset).toBe(0);
  expect(large.startOffset).toBeGreaterThan(300_000);
  expect(large.readFrom(0)).toEqual({ kind: "gap", from: 0, to: large.startOffset });
});

test("OutputBudget takes from what is expendable first, the oldest of it, and then from the largest", () => {
  const budget = new OutputBudget(1_000_000);
  const [large, first, second] = [
    new OutputRing(budget),
    new OutputRing(budget),
    new OutputRing(budget),
  ];
  for (const ring of [first, second]) {
    ring.append(pattern(0, 150_000));
    ring.expendable = true;
  }
  large.append(pattern(0, 600_000));
  large.append(pattern(600_000, 150_000));
  expect([large.startOffset, second.startOffset]).toEqual([0, 0]);
  expect(first.startOffset).toBeGreaterThan(0);
  large.append(pattern(750_000, 150_000));
  expect(large.startOffset).toBe(0);
  expect(first.heldBytes).toBe(0);
  large.append(pattern(900_000, 600_000));
  expect([first.heldBytes, second.heldBytes]).toEqual([0, 0]);
  expect(large.startOffset).toBeGreaterThan(0);
  expect(budget.heldBytes).toBeLessThanOrEqual(1_000_000);
});

test("a full house of sessions stays within ringsBytesMax and each keeps its newest output", () => {
  const budget = new OutputBudget();
  const rings = Array.from({ length: 2 * limits.sessionsMax }, () => new OutputRing(budget));
  const block = pattern(0, 256 * 1024);
  for (let round = 0; round < 4; round++) for (const ring of rings) ring.append(block);
  expect(budget.heldBytes).toBeLessThanOrEqual(limits.ringsBytesMax);
  for (const ring of rings) expect(ring.endOffset - ring.startOffset).toBeGreaterThan(100_000);
});

test("a budget smaller than one block holds one block and no more", () => {
  const budget = new OutputBudget(1000);
  const ring = new OutputRing(budget);
  for (let end = 0; end < 100_000; end += 100) ring.append(pattern(end, 100));
  expect(budget.heldBytes).toBeLessThanOrEqual(8 * 1024);
  expect(ring.readFrom(ring.endOffset - 1)).toMatchObject({ kind: "data" });
});

test("a closed ring gives its memory back", () => {
  const budget = new OutputBudget(200_000);
  const ring = new OutputRing(budget);
  ring.append(pattern(0, 150_000));
  ring.close();
  expect([ring.heldBytes, budget.heldBytes]).toEqual([0, 0]);
  expect(ring.readFrom(0)).toEqual({ kind: "gap", from: 0, to: 150_000 });
  expect(ring.readFrom(150_000)).toEqual({ kind: "end" });
});

/** Bytes that tell their own offset. */
function pattern(offset: number, length: number): Uint8Array {
  const block = new Uint8Array(length);
  for (let index = 0; index < length; index++)
    block[index] = ((offset + index) * 2_654_435_761) >>> 24;
  return block;
}
