import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import { hasHungUp } from "../../src/system/process-pipe.ts";
import { splice } from "../../src/system/splice.ts";
import {
  connectTcp,
  connectUnix,
  lendSocket,
  type Listening,
  type ListenOptions,
  listenTcp,
  listenUnix,
  SocketError,
  tellResets,
} from "../../src/system/tcp-stream.ts";
import { freePort } from "../support/free-port.ts";
import { memoryPair } from "../support/memory-stream.ts";
import { rejection } from "../support/rejection.ts";

const encoder = new TextEncoder();
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function listening(kind: "tcp" | "unix", options: ListenOptions) {
  if (kind === "tcp") {
    const server = listenTcp({ host: "127.0.0.1", port: 0 }, options);
    cleanups.push(() => server.close());
    return { server, dial: () => connectTcp({ host: "127.0.0.1", port: server.port }) };
  }
  const folder = mkdtempSync(join(tmpdir(), "fv-sock-"));
  const path = join(folder, "s");
  const server: Listening = listenUnix(path, options);
  cleanups.push(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { server, dial: () => connectUnix(path) };
}

async function pair(kind: "tcp" | "unix"): Promise<{ near: ByteStream; far: ByteStream }> {
  const accepted = Promise.withResolvers<ByteStream>();
  const { dial } = listening(kind, { onConnection: (stream) => accepted.resolve(stream) });
  const near = await dial();
  const far = await accepted.promise;
  cleanups.push(() => {
    near.abort(0);
    far.abort(0);
  });
  return { near, far };
}

async function readAll(stream: ByteStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = await stream.read();
    if (chunk === null) return Buffer.concat(chunks);
    chunks.push(chunk);
  }
}

async function send(stream: ByteStream, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += 100_003)
    await stream.write(bytes.subarray(at, at + 100_003));
  await stream.end();
}

function patterned(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8)) & 0xff;
  return bytes;
}

test("a socket that is lent is another process's, with what had been read told, until it is taken back", async () => {
  const { near, far } = await pair("unix");
  await near.write(encoder.encode("early "));
  await Bun.sleep(20);
  const lent = lendSocket(far);
  const early = Buffer.from(lent.early).toString();
  await near.write(encoder.encode("other"));
  const child = Bun.spawn(["head", "-c", String(11 - early.length)], {
    stdio: [lent.descriptor, lent.descriptor, "inherit"],
  });
  expect(await child.exited).toBe(0);
  await near.write(encoder.encode("ours"));
  expect(early + Buffer.from((await near.read()) ?? []).toString()).toBe("early other");
  lent.takeBack();
  expect(Buffer.from((await far.read()) ?? []).toString()).toBe("ours");
  await far.write(encoder.encode("back"));
  expect(Buffer.from((await near.read()) ?? []).toString()).toBe("back");
  expect(hasHungUp(lent.descriptor)).toBe(false);
});

test("a socket whose peer left while it was lent has hung up, and is closed once it is taken back", async () => {
  const { near, far } = await pair("unix");
  const lent = lendSocket(far);
  near.abort(0);
  expect(hasHungUp(lent.descriptor)).toBe(true);
  lent.takeBack();
  expect(await far.read()).toBeNull();
  far.abort(0);
  expect(() => lendSocket(far)).toThrow(StreamError);
});

describe.each(["tcp", "unix"] as const)("%s", (kind) => {
  test("each half ends apart: an answer follows the end of the question", async () => {
    const { near, far } = await pair(kind);
    await near.write(encoder.encode("question"));
    await near.end();
    expect(Buffer.from(await readAll(far)).toString()).toBe("question");
    await Bun.sleep(20);
    await far.write(encoder.encode("answer"));
    await far.end();
    expect(Buffer.from(await readAll(near)).toString()).toBe("answer");
    expect(await near.read()).toBeNull();
  });

  test("24 MiB pass both ways at once, whole", async () => {
    const { near, far } = await pair(kind);
    const [up, down] = [patterned(24 << 20), patterned((24 << 20) + 7).toReversed()];
    const [, , gotUp, gotDown] = await Promise.all([
      send(near, up),
      send(far, down),
      readAll(far),
      readAll(near),
    ]);
    expect(Bun.hash(gotUp)).toBe(Bun.hash(up));
    expect(Bun.hash(gotDown)).toBe(Bun.hash(down));
  });

  test("a reader that stands still stops the writer, within the limit", async () => {
    const { near, far } = await pair(kind);
    let written = 0;
    const writing = (async () => {
      for (let i = 0; i < 400; i++) {
        await near.write(new Uint8Array(64 * 1024));
        written += 64 * 1024;
      }
      await near.end();
    })();
    for (let before = -1; before !== written; await Bun.sleep(100)) before = written;
    // The kernel's own buffers hold the rest; ours is bounded.
    expect(written).toBeLessThan(400 * 64 * 1024);
    expect((await readAll(far)).length).toBe(400 * 64 * 1024);
    await writing;
  });

  test("an abort fails both ends' writes and the own reads", async () => {
    const { near, far } = await pair(kind);
    await near.write(encoder.encode("x"));
    await far.read();
    near.abort(3);
    expect(await rejection(near.read())).toMatchObject({ name: "StreamError", kind: "aborted" });
    expect(await rejection(near.write(new Uint8Array(1)))).toMatchObject({ kind: "aborted" });
    const far1 = (async () => {
      for (;;) {
        await far.write(new Uint8Array(1000));
        await Bun.sleep(1);
      }
    })();
    expect(await rejection(far1)).toMatchObject({ kind: "reset" });
  });

  test("a peer that is gone while we wait to write wakes the writer", async () => {
    const { near, far } = await pair(kind);
    const writing = near.write(new Uint8Array(64 << 20));
    await Bun.sleep(50);
    far.abort(0);
    expect(await rejection(writing)).toMatchObject({ name: "StreamError" });
  });

  test("connections beyond the limit are closed at once, and room comes back", async () => {
    const accepted: ByteStream[] = [];
    const { dial } = listening(kind, {
      connectionsMax: 2,
      onConnection: (stream) => accepted.push(stream),
    });
    const streams = [await dial(), await dial()];
    while (accepted.length < 2) await Bun.sleep(1);
    const third = await dial();
    const outcome = await third.read().catch((error: Error) => error.name);
    expect(outcome === null || outcome === "StreamError").toBeTrue();
    expect(accepted).toHaveLength(2);
    for (const stream of streams) stream.abort(0);
    // Until their ends have been heard of, it is closed at once as well.
    while (accepted.length < 3) {
      (await dial()).abort(0);
      await Bun.sleep(5);
    }
  });
});

test("a TCP reset is a reset for the reader too", async () => {
  const { near, far } = await pair("tcp");
  near.abort(0);
  expect(await rejection(readAll(far))).toMatchObject({ name: "StreamError", kind: "reset" });
});

test("nobody there, a taken port and no answer have their codes", async () => {
  const free = freePort();
  const taken = listenTcp({ host: "127.0.0.1", port: free }, { onConnection: () => undefined });
  const again = () =>
    listenTcp({ host: "127.0.0.1", port: free }, { onConnection: () => undefined });
  expect(again).toThrow(SocketError);
  taken.close();
  expect(await rejection(connectTcp({ host: "127.0.0.1", port: free }))).toMatchObject({
    name: "SocketError",
    code: "ECONNREFUSED",
  });
  expect(await rejection(connectUnix("/nonexistent/fv.sock"))).toMatchObject({ code: "ENOENT" });
  // A backlog that is full drops the SYN; a black-holed documentation address would need a network.
});

test("localhost reaches a listener on either family", async () => {
  for (const host of ["127.0.0.1", "::1"]) {
    const server = listenTcp({ host, port: 0 }, { onConnection: (stream) => void stream.end() });
    const stream = await connectTcp({ host: "localhost", port: server.port });
    expect(await stream.read()).toBeNull();
    stream.abort(0);
    server.close();
  }
});

test("splice passes bytes, ends and resets on", async () => {
  const { near, far } = await pair("tcp");
  const memory = memoryPair({ bufferBytes: 8192 });
  const joined = splice(far, memory.near);
  const up = patterned(3_000_000);
  const sending = near.write(up).then(() => near.end());
  expect(Bun.hash(await readAll(memory.far))).toBe(Bun.hash(up));
  await sending;
  await memory.far.write(encoder.encode("still open this way"));
  await memory.far.end();
  expect(Buffer.from(await readAll(near)).toString()).toBe("still open this way");
  expect(await joined).toEqual({ aToBBytes: 3_000_000, bToABytes: 19, error: undefined });
});

test("splice aborts the other side when one is reset", async () => {
  const { near, far } = await pair("tcp");
  const memory = memoryPair();
  const joined = splice(far, memory.near);
  memory.far.abort(9);
  expect(await rejection(readAll(near))).toMatchObject({ kind: "reset" });
  expect((await joined).error).toMatchObject({ name: "StreamError" });
});

describe("a Unix socket that tells resets", () => {
  test("gives up with its peer, after what was sent", async () => {
    for (const bytes of [0, 10]) {
      const { near, far } = await pair("unix");
      tellResets(near);
      if (bytes > 0) {
        await far.write(new Uint8Array(bytes));
        expect(await near.read()).toHaveLength(bytes);
      }
      const reading = near.read();
      reading.catch(() => undefined);
      far.abort(0);
      expect(await rejection(reading)).toMatchObject({ name: "StreamError", kind: "reset" });
    }
  });

  test("ends where its peer ends, whichever is first", async () => {
    for (const isFirst of [true, false]) {
      const { near, far } = await pair("unix");
      for (const stream of [near, far]) tellResets(stream);
      await far.write(new Uint8Array(5));
      await (isFirst ? far : near).end();
      await Bun.sleep(5);
      await (isFirst ? near : far).end();
      expect(await readAll(near)).toHaveLength(5);
      expect(await readAll(far)).toHaveLength(0);
    }
  });
});
