import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type ByteStream, StreamError } from "../../../../src/protocol/byte-stream.ts";
import { WireError } from "../../../../src/protocol/errors.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import {
  encodeNumber,
  encodeSharedFrame,
  SharedFrames,
  sharedFrameTypes,
} from "../../../../src/roles/client/shared-link/shared-frame.ts";
import { SharedStream } from "../../../../src/roles/client/shared-link/shared-stream.ts";
import { connectUnix, listenUnix } from "../../../../src/system/tcp-stream.ts";
import { byteStreamContract, type StreamPair } from "../../../support/byte-stream-contract.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { rejection } from "../../../support/rejection.ts";
import { seed } from "../../../support/seed.ts";

async function openSockets(): Promise<StreamPair> {
  const folder = mkdtempSync(join(tmpdir(), "fly-vault-"));
  const path = join(folder, "socket");
  const { promise, resolve } = Promise.withResolvers<ByteStream>();
  const listening = listenUnix(path, { onConnection: resolve });
  const near = await connectUnix(path);
  const far = await promise;
  listening.close();
  rmSync(folder, { recursive: true });
  return { near, far };
}

async function openPair(): Promise<StreamPair> {
  const { near, far } = await openSockets();
  return {
    near: new SharedStream(new SharedFrames(near)),
    far: new SharedStream(new SharedFrames(far)),
  };
}

byteStreamContract("a stream of the background link", openPair, {
  bufferBytesMax: clientLimits.linkWindowBytes,
  abortReadsAs: "code",
});

test("a socket that closes without a word is a lost connection, after what came before", async () => {
  const { near, far } = await openSockets();
  const stream = new SharedStream(new SharedFrames(near));
  await far.write(encodeSharedFrame(sharedFrameTypes.data, Uint8Array.of(1, 2)));
  await Bun.sleep(10);
  far.abort(0);
  expect(await stream.read()).toEqual(Uint8Array.of(1, 2));
  expect(await rejection(stream.read())).toMatchObject({ kind: "connection-lost" });
  expect(await rejection(stream.write(Uint8Array.of(1)))).toMatchObject({
    kind: "connection-lost",
  });
});

test("a loss after the peer's end is one to the writer alone", async () => {
  const { near, far } = await openSockets();
  const stream = new SharedStream(new SharedFrames(near));
  await far.write(encodeSharedFrame(sharedFrameTypes.end));
  expect(await stream.read()).toBeNull();
  far.abort(0);
  const writing = async (): Promise<void> => {
    // It may not have heard yet.
    for (;;) {
      await stream.write(Uint8Array.of(1));
      await Bun.sleep(1);
    }
  };
  expect(await rejection(writing())).toBeInstanceOf(StreamError);
});

test("a reset passes a peer that does not read", async () => {
  const { near, far } = await openPair();
  const writing = rejection(
    (async () => {
      for (;;) await near.write(new Uint8Array(65_536));
    })(),
  );
  await Bun.sleep(50);
  far.abort(7);
  expect(await writing).toMatchObject({ kind: "stopped", resetCode: 7 });
});

test("more than was granted breaks the stream", async () => {
  const { near, far } = await openSockets();
  const stream = new SharedStream(new SharedFrames(near));
  const piece = encodeSharedFrame(
    sharedFrameTypes.data,
    new Uint8Array(clientLimits.linkDataBytesMax),
  );
  const pieces = clientLimits.linkWindowBytes / clientLimits.linkDataBytesMax + 1;
  const flood = async (): Promise<void> => {
    for (let at = 0; at < pieces; at++) await far.write(piece);
  };
  flood().catch(() => undefined);
  await stream.over;
  expect(await rejection(stream.read())).toBeInstanceOf(StreamError);
});

test("frames arrive, however they are cut", async () => {
  const frame = fc.oneof(
    fc
      .record({
        type: fc.constantFrom(sharedFrameTypes.data, sharedFrameTypes.message),
        payload: fc.uint8Array({ maxLength: 300 }),
      })
      .map(({ type, payload }) => ({ type, bytes: encodeSharedFrame(type, payload) })),
    fc
      .nat(0xffffffff)
      .map((value) => ({ type: 5, bytes: encodeNumber(sharedFrameTypes.grant, value) })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { maxLength: 8 }),
      fc.integer({ min: 1, max: 50 }),
      async (sent, cut) => {
        const { near, far } = memoryPair();
        const all = Buffer.concat(sent.map(({ bytes }) => bytes));
        const writing = (async () => {
          for (let at = 0; at < all.length; at += cut) await far.write(all.subarray(at, at + cut));
          await far.end();
        })();
        const frames = new SharedFrames(near);
        for (const { type, bytes } of sent) {
          let payload = Buffer.alloc(0);
          do {
            const got = await frames.read();
            expect(got?.type).toBe(type as 1);
            payload = Buffer.concat([payload, got?.payload ?? Buffer.alloc(0)]);
            // Data may come in slices, and only data.
          } while (type === sharedFrameTypes.data && payload.length < bytes.length - 5);
          expect(Buffer.compare(payload, bytes.subarray(5))).toBe(0);
        }
        expect(await frames.read()).toBeNull();
        await writing;
      },
    ),
    { seed, numRuns: 100 },
  );
});

test("any bytes are frames or one of our errors", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
      const { near, far } = memoryPair();
      await far.write(bytes);
      await far.end();
      const frames = new SharedFrames(near);
      try {
        while ((await frames.read()) !== null);
      } catch (error) {
        expect([WireError, StreamError].some((kind) => error instanceof kind)).toBe(true);
      }
    }),
    { seed, numRuns: 500 },
  );
});
