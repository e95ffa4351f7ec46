import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteStream, StreamError } from "../../../src/protocol/byte-stream.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { encodeFrame, FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { encodeJson, type Request, sendError } from "../../../src/protocol/message.ts";
import type { Connection } from "../../../src/quic/connection.ts";
import { LinkStreams } from "../../../src/roles/init/link-stream.ts";
import { listenUnix } from "../../../src/system/tcp-stream.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { eventually } from "./ask.ts";

/** What the link holds of streams whose clients are gone. */

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

test("a client that is gone before its yes leaves no connection to the target", async () => {
  const closed = Promise.withResolvers<void>();
  const target = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: () => {}, close: () => closed.resolve(), error: () => {} },
  });
  cleanups.push(() => target.stop(true));
  const streams = new LinkStreams("/nowhere", () => {});
  const { near, far } = memoryPair();
  await near.write(
    encodeFrame(
      frameTypes.request,
      encodeJson({ type: "forward", host: "127.0.0.1", port: target.port }),
    ),
  );
  await streams.serveAll(connectionOf(deaf(far)));
  await closed.promise;
});

test("what goes to the keeper is told of when it comes and when it is over", async () => {
  const told: string[] = [];
  const streams = new LinkStreams(
    keeperThatRefuses(),
    () => {},
    () => {
      told.push("request");
      return () => void told.push("over");
    },
  );
  const { near, far } = memoryPair();
  await near.write(encodeFrame(frameTypes.request, encodeJson({ type: "sessions" })));
  await streams.serveAll(connectionOf(far));
  const frames = new FrameStream(near);
  expect((await frames.read())?.type).toBe(frameTypes.error);
  expect(told).toEqual(["request"]);
  await near.end();
  while (told.length < 2) await Bun.sleep(1);
  expect(told).toEqual(["request", "over"]);
});

test("a refusal of the machine leaves no socket open here", async () => {
  const path = keeperThatRefuses();
  const streams = new LinkStreams(path, () => {});
  const before = openDescriptors();
  const wish: Request = { type: "agent" };
  for (let round = 0; round < 20; round++) {
    const { near, far } = memoryPair();
    await near.write(encodeFrame(frameTypes.request, encodeJson(wish)));
    await streams.serveAll(connectionOf(far));
    const frames = new FrameStream(near);
    expect((await frames.read())?.type).toBeDefined();
    expect(await frames.read()).toBeNull();
  }
  await eventually(
    async () => openDescriptors() - before,
    (more) => more < 5,
  );
});

/** Gives its socket. */
function keeperThatRefuses(): string {
  const folder = mkdtempSync(join(tmpdir(), "fv-link-streams-"));
  const path = join(folder, "keeper.sock");
  const keeper = listenUnix(path, { onConnection: (stream) => void refuse(stream) });
  cleanups.push(() => {
    keeper.close();
    rmSync(folder, { recursive: true });
  });
  expect(existsSync(path)).toBe(true);
  return path;
}

async function refuse(stream: ByteStream): Promise<void> {
  const frames = new FrameStream(stream);
  await frames.read();
  await sendError(frames, new RemoteError("internal", "No"));
  await stream.end();
}

/** Takes a request in, and no word out. */
function deaf(stream: ByteStream): ByteStream {
  return {
    read: () => stream.read(),
    write: async () => {
      throw new StreamError("stopped", "The client has reset the stream");
    },
    end: () => stream.end(),
    abort: (code) => stream.abort(code),
  };
}

function connectionOf(stream: ByteStream): Connection {
  const streams = [stream, null];
  return { acceptStream: async () => streams.shift() ?? null } as unknown as Connection;
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
