import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../src/protocol/errors.ts";
import { limits } from "../../src/protocol/limits.ts";
import { InputReceiver, InputSender } from "../../src/protocol/session-input.ts";
import { seeded } from "../support/seed.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array): string => new TextDecoder().decode(value);

test("InputReceiver drops what it has had and refuses a hole", () => {
  const input = new InputReceiver(100);
  expect(text(input.receive(0, bytes("abc")))).toBe("abc");
  expect(text(input.receive(0, bytes("abc")))).toBe("");
  expect(text(input.receive(1, bytes("bcde")))).toBe("de");
  expect(input.receivedOffset).toBe(5);
  expect(() => input.receive(6, bytes("g"))).toThrow(ProtocolError);
});

test("InputReceiver ends once, at the length that arrived", () => {
  const input = new InputReceiver(100);
  input.receive(0, bytes("abc"));
  expect(() => input.end(2)).toThrow(ProtocolError);
  expect(() => input.end(4)).toThrow(ProtocolError);
  expect(input.ended).toBe(false);
  input.end(3);
  input.end(3);
  expect(input.ended).toBe(true);
  expect(text(input.receive(1, bytes("bc")))).toBe("");
  expect(() => input.receive(1, bytes("bcd"))).toThrow(ProtocolError);
});

test("InputReceiver holds one window, and more once the process took some", () => {
  const input = new InputReceiver();
  input.receive(0, new Uint8Array(limits.stdinWindowBytes));
  expect(() => input.receive(limits.stdinWindowBytes, bytes("x"))).toThrow(ProtocolError);
  input.taken(1);
  expect(input.takenOffset).toBe(1);
  expect(input.receive(limits.stdinWindowBytes, bytes("x"))).toHaveLength(1);
  expect(() => input.taken(limits.stdinWindowBytes + 1)).toThrow(RangeError);
});

test("InputSender stops at its window and goes on after an acknowledgement", () => {
  const sender = new InputSender();
  sender.write(new Uint8Array(limits.stdinWindowBytes));
  expect(sender.roomBytes).toBe(0);
  expect(() => sender.write(bytes("x"))).toThrow(RangeError);
  for (let sent = 0; sent < limits.stdinWindowBytes; sent += limits.dataBytesMax)
    expect(sender.next()).toMatchObject({ kind: "stdin", offset: sent });
  expect(sender.next()).toBeUndefined();
  sender.acknowledge(1000);
  sender.acknowledge(500);
  expect(sender.roomBytes).toBe(1000);
});

test("InputSender sends again from where the server stands, end included", () => {
  const sender = new InputSender(100);
  sender.write(bytes("abcdef"));
  sender.end();
  expect(sender.roomBytes).toBe(0);
  expect(sender.next(4)).toEqual({ kind: "stdin", offset: 0, bytes: bytes("abcd") });
  expect(sender.next()).toEqual({ kind: "stdin", offset: 4, bytes: bytes("ef") });
  expect(sender.next()).toEqual({ kind: "stdin-end", offset: 6 });
  expect(sender.next()).toBeUndefined();
  sender.acknowledge(2);
  sender.resume(3);
  expect(sender.next()).toEqual({ kind: "stdin", offset: 3, bytes: bytes("def") });
  expect(sender.next()).toEqual({ kind: "stdin-end", offset: 6 });
});

test("InputSender refuses offsets the server cannot have", () => {
  const sender = new InputSender(100);
  sender.write(bytes("abcdef"));
  sender.next(4);
  expect(() => sender.acknowledge(5)).toThrow(ProtocolError);
  sender.acknowledge(2);
  expect(() => sender.resume(1)).toThrow(ProtocolError);
  expect(() => sender.resume(5)).toThrow(ProtocolError);
});

test("InputSender forgets what was acknowledged, but not a byte more", () => {
  const sender = new InputSender(100_000);
  for (let start = 0; start < 50_000; start += 10_000)
    sender.write(new Uint8Array(10_000).fill(start / 10_000));
  for (let send = sender.next(); send !== undefined; send = sender.next());
  for (const offset of [9999, 10_000, 10_001, 29_999, 30_000, 49_999]) {
    sender.acknowledge(offset);
    sender.resume(offset);
    const send = sender.next();
    expect(send).toMatchObject({ kind: "stdin", offset });
    expect(send?.kind === "stdin" && send.bytes[0]).toBe(Math.floor(offset / 10_000));
    while (sender.next() !== undefined);
  }
});

test("InputSender leaves large writes uncopied and packs keystrokes together", () => {
  const sender = new InputSender();
  const large = new Uint8Array(10_000);
  sender.write(large);
  for (let key = 0; key < 1000; key++) sender.write(Uint8Array.of(key));
  const first = sender.next();
  expect(first?.kind === "stdin" && first.bytes.buffer).toBe(large.buffer);
  expect(sender.next()).toMatchObject({
    bytes: Uint8Array.from({ length: 1000 }, (_, key) => key),
  });
});

test("sender and receiver agree over any sequence of writes, losses and acknowledgements", () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ write: fc.integer({ min: 0, max: 9000 }) }),
      fc.record({ send: fc.integer({ min: 1, max: 5000 }) }),
      fc.record({ take: fc.nat(9000) }),
      fc.record({ acknowledge: fc.constant(true) }),
      fc.record({ reconnect: fc.constant(true) }),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), steps, (window, actions) => {
      const sender = new InputSender(window);
      const receiver = new InputReceiver(window);
      const written: number[] = [];
      const received: number[] = [];
      let lost = false;
      for (const action of actions) {
        if ("write" in action) {
          const count = Math.min(action.write, sender.roomBytes);
          const block = Uint8Array.from({ length: count }, (_, index) => written.length + index);
          sender.write(block);
          written.push(...block);
        } else if ("send" in action) {
          const send = sender.next(action.send);
          // What is sent after a loss never arrives, until the next connection.
          if (send?.kind === "stdin" && !lost && received.length % 7 !== 6)
            received.push(...receiver.receive(send.offset, send.bytes));
          else lost = true;
        } else if ("take" in action) {
          receiver.taken(Math.min(action.take, receiver.receivedOffset - receiver.takenOffset));
        } else if ("acknowledge" in action) {
          sender.acknowledge(receiver.takenOffset);
        } else {
          sender.resume(receiver.receivedOffset);
          lost = false;
        }
      }
      sender.resume(receiver.receivedOffset);
      for (let send = sender.next(); send?.kind === "stdin"; send = sender.next())
        received.push(...receiver.receive(send.offset, send.bytes));
      expect(received).toEqual(written);
    }),
    seeded(500),
  );
});
