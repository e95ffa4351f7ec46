import { expect, test } from "bun:test";
import { encodeArchiveData } from "../../../src/protocol/archive-frame.ts";
import { StreamError } from "../../../src/protocol/byte-stream.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { decodeJson, progressSchema } from "../../../src/protocol/message.ts";
import { ProvisionJob, type ProvisionWork } from "../../../src/roles/init/provision-job.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { rejection } from "../../support/rejection.ts";

const result = { entries: 1, written_bytes: 2, skipped: [] };
const request = { type: "provision", id: "a", source: { kind: "upload" } } as const;

/** A job whose work goes on when it is told to, and how it was aborted by then. */
function heldJob(work: ProvisionWork): { job: ProvisionJob; goOn: () => void } {
  const held = Promise.withResolvers<void>();
  const job = new ProvisionJob(request, async (course) => {
    await held.promise;
    return work(course);
  });
  return { job, goOn: held.resolve };
}

const because = new RemoteError("cancelled", "The client cancelled it");

test("a cancel that comes in the moment of the decision does not claim that nothing changed", async () => {
  const { job, goOn } = heldJob(async ({ onDecided }) => {
    onDecided();
    return result;
  });
  const cancelling = job.cancel(because);
  goOn();
  expect(await cancelling).toBe(false);
  expect(await job.outcome).toEqual({ kind: "done", result });
});

test("a cancel of work that heeds it is heard as the reason", async () => {
  const { job, goOn } = heldJob(async ({ signal }) => {
    signal.throwIfAborted();
    return result;
  });
  const cancelling = job.cancel(because);
  goOn();
  expect(await cancelling).toBe(true);
  expect(await job.outcome).toEqual({ kind: "failed", error: because });
});

const chunk = (offset: number): Uint8Array<ArrayBuffer> =>
  encodeArchiveData({ offset, bytes: new Uint8Array(10).fill(offset + 1) });

/** One stream of a client, attached. */
async function attach(job: ProvisionJob): Promise<{ near: FrameStream; served: Promise<void> }> {
  const { near, far } = memoryPair();
  const served = job.attend(new FrameStream(far), () => ({}));
  served.catch(() => undefined);
  const frames = new FrameStream(near);
  expect((await frames.read())?.type).toBe(frameTypes.ok);
  return { near: frames, served };
}

test("what a client sent over its old stream counts no more once it has another", async () => {
  const taken: number[] = [];
  const { job, goOn } = heldJob(async ({ upload }) => {
    for await (const bytes of upload) taken.push(bytes[0] ?? 0);
    return result;
  });
  const old = await attach(job);
  // In one piece: the second waits here until there is room for it.
  await old.near.stream.write(Buffer.concat([chunk(0), chunk(10)]));
  await Bun.sleep(10);
  const again = await attach(job);
  expect(await rejection(readAll(old.near))).toBeInstanceOf(StreamError);
  goOn();
  expect(await rejection(old.served)).toBeInstanceOf(StreamError);
  await again.near.stream.write(chunk(10));
  await again.near.write(frameTypes.dataEnd, new Uint8Array(0));
  expect(await job.outcome).toEqual({ kind: "done", result });
  expect(taken).toEqual([1, 11]);
});

async function readAll(frames: FrameStream): Promise<void> {
  while ((await frames.read()) !== null);
}

test("a phase that counts no bytes keeps the count, and one that is decided counts as attended", async () => {
  const end = Promise.withResolvers<void>();
  const { job, goOn } = heldJob(async ({ onProgress, onDecided }) => {
    onProgress({ phase: "sync", received_bytes: 10, entries: 1, written_bytes: 2 });
    onDecided();
    onProgress({ phase: "switch", received_bytes: 0, entries: 1, written_bytes: 2 });
    await end.promise;
    return result;
  });
  expect(job.isAttended).toBe(false);
  goOn();
  await Bun.sleep(10);
  expect(job.isAttended).toBe(true);
  const { near } = await attach(job);
  const frame = await near.read();
  expect(decodeJson(progressSchema, frame?.payload ?? new Uint8Array(0), "Progress")).toMatchObject(
    {
      phase: "switch",
      received_bytes: 10,
    },
  );
  end.resolve();
  await job.outcome;
  expect(job.isAttended).toBe(true);
});
