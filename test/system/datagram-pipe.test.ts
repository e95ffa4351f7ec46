import { expect, jest, test } from "bun:test";
import { FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { DatagramPipe } from "../../src/system/datagram-pipe.ts";
import { socketLimits } from "../../src/system/socket-limits.ts";
import { memoryPair } from "../support/memory-stream.ts";

function pipePair(idleMs = 10_000) {
  const pair = memoryPair();
  const [near, far] = [new FrameStream(pair.near), new FrameStream(pair.far)];
  return { pipe: new DatagramPipe(near, idleMs), far };
}

test("one datagram a frame, both ways", async () => {
  const { pipe, far } = pipePair();
  const received: number[][] = [];
  const running = pipe.run((bytes) => received.push([...bytes]));
  expect(pipe.offer(Uint8Array.of(1, 2))).toBe(true);
  expect(pipe.offer(new Uint8Array(0))).toBe(true);
  expect(await far.read()).toEqual({ type: frameTypes.datagram, payload: Uint8Array.of(1, 2) });
  expect((await far.read())?.payload.length).toBe(0);
  await far.write(frameTypes.datagram, Uint8Array.of(3));
  await far.stream.end();
  await running;
  expect(received).toEqual([[3]]);
  expect(pipe.offer(Uint8Array.of(1))).toBe(false);
});

test("what the stream does not take is dropped beyond the limits", () => {
  const small = pipePair().pipe;
  const offers = Array.from({ length: socketLimits.queuedDatagramsMax + 50 }, () =>
    small.offer(Uint8Array.of(1)),
  );
  const taken = offers.filter(Boolean).length;
  expect(taken).toBeLessThanOrEqual(socketLimits.queuedDatagramsMax + 1);
  expect(taken).toBeGreaterThan(socketLimits.queuedDatagramsMax - 2);
  const large = pipePair().pipe;
  let bytes = 0;
  for (let i = 0; i < 20; i++) if (large.offer(new Uint8Array(60_000))) bytes += 60_000;
  expect(bytes).toBeLessThanOrEqual(socketLimits.queuedBytesMax + 60_000);
  small.close();
  large.close();
});

test("silent both ways for long enough, it ends; a datagram either way keeps it", async () => {
  jest.useFakeTimers();
  try {
    const { pipe, far } = pipePair(80);
    let isOver = false;
    const running = pipe.run(() => undefined).then(() => (isOver = true));
    const pass = async (ms: number): Promise<void> => {
      jest.advanceTimersByTime(ms);
      await turns();
    };
    await pass(79);
    pipe.offer(Uint8Array.of(1));
    await pass(79);
    await far.write(frameTypes.datagram, Uint8Array.of(2));
    await turns();
    await pass(79);
    expect(isOver).toBe(false);
    await pass(1);
    await running;
  } finally {
    jest.useRealTimers();
  }
});

/** Whoever has something to do does it. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

test("another frame ends it", async () => {
  const { pipe, far } = pipePair();
  const running = pipe.run(() => undefined);
  await far.write(frameTypes.listenEnd, new Uint8Array(0));
  await running;
  expect(pipe.offer(Uint8Array.of(1))).toBe(false);
});
