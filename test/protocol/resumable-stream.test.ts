import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError, WireError } from "../../src/protocol/errors.ts";
import { type Frame, FrameDecoder, frameTypes } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { ResumableStream } from "../../src/protocol/resumable-stream.ts";
import { between, type Random, randomBytes, seeded, seededRandom } from "../support/seed.ts";

test("over a line that is cut again and again each byte arrives once, in order, both ways", () => {
  fc.assert(
    fc.property(fc.integer(), (start) => {
      const random = seededRandom(start);
      const near = new End(random, between(random, 0, 3000));
      const far = new End(random, between(random, 0, 3000));
      let cuts = 0;
      for (let turn = 0; !near.isDone(far) || !far.isDone(near); turn++) {
        expect(turn).toBeLessThan(20_000);
        near.feed();
        far.feed();
        const [to, from] = random() < 0.5 ? [near, far] : [far, near];
        if (random() < 0.5) from.send();
        if (random() < 0.5) from.deliver(to);
        if (random() < 0.05 && cuts++ < 200) reconnect(near, far);
      }
      expect(Buffer.concat(near.got).equals(Buffer.from(far.bytes))).toBe(true);
      expect(Buffer.concat(far.got).equals(Buffer.from(near.bytes))).toBe(true);
    }),
    seeded(150),
  );
});

test("no end keeps more than a window, and the other refuses more", () => {
  const stream = new ResumableStream();
  expect(stream.roomBytes).toBe(limits.resumableWindowBytes);
  stream.write(new Uint8Array(limits.resumableWindowBytes));
  expect(stream.roomBytes).toBe(0);
  expect(() => stream.write(Uint8Array.of(1))).toThrow(RangeError);

  const eager = new ResumableStream({ windowBytes: 200 });
  eager.write(new Uint8Array(150));
  const picky = new ResumableStream({ windowBytes: 100 });
  const [frame] = framesOf(eager.poll());
  expect(() => picky.receive(frame as Frame)).toThrow(ProtocolError);
});

test("what was taken is acknowledged in steps, and once more after a lost connection", () => {
  const near = new ResumableStream();
  const far = new ResumableStream();
  near.write(new Uint8Array(limits.resumableAckBytes));
  let bytes = 0;
  for (let sent = near.poll(); sent !== undefined; sent = near.poll())
    for (const frame of framesOf(sent)) {
      const event = far.receive(frame);
      if (event.kind === "data") bytes += event.bytes.length;
    }
  far.taken(bytes - 1);
  expect(far.poll()).toBeUndefined();
  far.taken(1);
  expect(framesOf(far.poll())[0]?.type).toBe(frameTypes.sshAck);
  expect(far.poll()).toBeUndefined();
  far.resume(0);
  expect(framesOf(far.poll())[0]?.type).toBe(frameTypes.sshAck);
});

test("refuses to go on from where the other end cannot be, and frames of others", () => {
  const stream = new ResumableStream();
  expect(() => stream.resume(1)).toThrow(ProtocolError);
  expect(() => stream.receive({ type: frameTypes.sshAck, payload: offset(1) })).toThrow(
    ProtocolError,
  );
  expect(() => stream.receive({ type: frameTypes.sshData, payload: offset(1) })).toThrow(
    ProtocolError,
  );
  expect(() => stream.receive({ type: frameTypes.stdinEnd, payload: offset(0) })).toThrow(
    WireError,
  );
  expect(() => stream.receive({ type: frameTypes.sshEnd, payload: offset(1) })).toThrow(
    ProtocolError,
  );
  expect(stream.receive({ type: frameTypes.sshEnd, payload: offset(0) })).toEqual({ kind: "end" });
});

/** One end with what it is to say, and the way to the other end, which may be cut. */
class End {
  readonly bytes: Uint8Array;
  readonly stream = new ResumableStream({ windowBytes: 300, ackBytes: 50 });
  readonly got: Uint8Array[] = [];
  readonly #random: Random;
  #line: Uint8Array[] = [];
  #fed = 0;
  #ended = false;
  #notTaken = 0;

  constructor(random: Random, length: number) {
    this.#random = random;
    this.bytes = randomBytes(random, length);
  }

  feed(): void {
    const count = Math.min(between(this.#random, 0, 40), this.stream.roomBytes);
    this.stream.write(this.bytes.slice(this.#fed, this.#fed + count));
    this.#fed = Math.min(this.bytes.length, this.#fed + count);
    if (this.#fed === this.bytes.length) this.stream.end();
    this.stream.taken(this.#notTaken);
    this.#notTaken = 0;
  }

  send(): void {
    const frame = this.stream.poll();
    if (frame !== undefined) this.#line.push(frame);
  }

  deliver(to: End): void {
    const bytes = this.#line.shift();
    for (const frame of framesOf(bytes)) to.#receive(frame);
  }

  #receive(frame: Frame): void {
    const event = this.stream.receive(frame);
    if (event.kind === "end") this.#ended = true;
    if (event.kind !== "data") return;
    this.got.push(event.bytes.slice());
    this.#notTaken += event.bytes.length;
  }

  cut(): void {
    this.#line = [];
  }

  isDone(other: End): boolean {
    return this.#ended && Buffer.concat(this.got).length === other.bytes.length;
  }
}

function reconnect(near: End, far: End): void {
  near.cut();
  far.cut();
  const received = near.stream.receivedOffset;
  near.stream.resume(far.stream.receivedOffset);
  far.stream.resume(received);
}

function framesOf(bytes: Uint8Array | undefined): Frame[] {
  const decoder = new FrameDecoder();
  if (bytes !== undefined) decoder.feed(bytes);
  const frames: Frame[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  return frames;
}

function offset(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(4, value);
  return bytes;
}
