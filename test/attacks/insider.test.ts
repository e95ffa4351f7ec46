import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { StreamError } from "../../src/protocol/byte-stream.ts";
import { RemoteError } from "../../src/protocol/errors.ts";
import { encodeFrame, FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { decodeError, encodeJson, request, statusSchema } from "../../src/protocol/message.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { initLimits } from "../../src/roles/init/limits.ts";
import { LinkClients } from "../../src/roles/init/link-clients.ts";
import { LinkStreams } from "../../src/roles/init/link-stream.ts";
import { eventually } from "../roles/init/ask.ts";
import { LoginStage } from "../support/login-stage.ts";
import { listenTcp } from "../../src/system/tcp-stream.ts";
import { rejection } from "../support/rejection.ts";
import { AttackStage, openFrames } from "./stage.ts";

setDefaultTimeout(120_000);

/** Somebody who has the token and means harm: what it costs the machine, and everybody else. */
let stage: AttackStage;
beforeAll(async () => {
  stage = await AttackStage.open();
});
afterAll(async () => {
  await stage.close();
});

/** A small request, on a stream that is left open. */
async function asked(connection: Connection): Promise<FrameStream> {
  const frames = await openFrames(connection);
  await frames.write(frameTypes.request, encodeJson({ type: "sessions" }));
  return frames;
}

async function answerCode(frames: FrameStream): Promise<string> {
  const frame = await frames.read();
  if (frame === null) return "end";
  return frame.type === frameTypes.error ? decodeError(frame.payload).code : `0x${frame.type}`;
}

async function forwardCode(connection: Connection, host: string, port: number): Promise<string> {
  const error = await rejection(
    request(await openFrames(connection), { type: "forward", host, port }, v.object({})),
  );
  if (!(error instanceof RemoteError)) throw error;
  return error.code;
}

async function expectServed(connection: Connection): Promise<void> {
  const startMs = performance.now();
  const status = await request(await openFrames(connection), { type: "status" }, statusSchema);
  expect(status.vm_state).toBe("ready");
  // Sooner than the hostile ones are given up.
  expect(performance.now() - startMs).toBeLessThan(initLimits.firstFrameMs - 1000);
}

/** Kilobytes in memory. */
function residentKb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1]);
}

test("half-sent requests: 256 streams, the next is told so, all are answered after 10 s", async () => {
  const hostile = await stage.logIn();
  const honest = await stage.logIn();
  const half = encodeFrame(frameTypes.request, encodeJson({ type: "status" })).subarray(0, 9);
  const streams: FrameStream[] = [];
  while (streams.length < initLimits.streamsPerConnectionMax) {
    const frames = await openFrames(hostile);
    await frames.stream.write(half);
    streams.push(frames);
  }
  await Bun.sleep(200);
  const beyond = await openFrames(hostile);
  await beyond.stream.write(half);
  expect(await answerCode(beyond)).toBe("limit");
  await expectServed(honest);
  const codes = await Promise.all(streams.map(answerCode));
  expect(new Set(codes)).toEqual(new Set(["bad-request"]));
  for (const { stream } of streams) await stream.end();
  await expectServed(hostile);
  hostile.close(0, "");
  honest.close(0, "");
});

test("512 forwards over two connections, then no more; closed ones make room", async () => {
  const target = listenTcp(
    { host: "127.0.0.1", port: 0 },
    { connectionsMax: initLimits.forwardsMax, onConnection: () => undefined },
  );
  const { port } = target;
  const [one, two, three] = [await stage.logIn(), await stage.logIn(), await stage.logIn()];
  const open = async (connection: Connection): Promise<FrameStream> => {
    const frames = await openFrames(connection);
    await request(frames, { type: "forward", host: "127.0.0.1", port }, v.object({}));
    return frames;
  };
  const opened: FrameStream[] = [];
  for (const connection of [one, two])
    for (let index = 0; index < initLimits.forwardsMax / 2; index += 1)
      opened.push(await open(connection));
  expect(await forwardCode(three, "127.0.0.1", port)).toBe("limit");
  await expectServed(three);
  one.close(0, "");
  await eventually(
    async () => forwardCode(three, "127.0.0.1", 1),
    (code) => code === "forward-refused",
  );
  expect(opened).toHaveLength(initLimits.forwardsMax);
  for (const connection of [two, three]) connection.close(0, "");
  target.close();
});

test("more requests than the keeper holds: they are refused, logins and others are not", async () => {
  const connections: Connection[] = [];
  const waiting: Promise<string>[] = [];
  for (let index = 0; index < 5; index += 1) connections.push(await stage.logIn());
  // One session with many who look on: beyond its own limit they are refused, but their streams stay open.
  const open = async (connection: Connection, id: string): Promise<void> => {
    const frames = await openFrames(connection);
    const message = { type: "session-open", id: "shared", client: id, tty: false } as const;
    await frames.write(frameTypes.request, encodeJson({ ...message, argv: ["sleep", "60"] }));
    waiting.push(answerCode(frames).catch((error: StreamError) => error.kind));
  };
  const [first] = connections;
  if (first !== undefined) await open(first, "c");
  // While it starts, others who want the same session are sent away, and theirs do not stay open.
  expect(await waiting[0]).toBe("0x2");
  for (const [which, connection] of connections.entries())
    for (let index = 0; index < 200; index += 1) await open(connection, `c${which}-${index}`);
  // A login asks the keeper as well: places are kept for that.
  const last = await stage.logIn();
  // The requests, and later the goodbyes, are still on their way for a while.
  expect(await answerOtherThan("0x2", last)).toBe("limit");
  for (const connection of connections) connection.close(0, "");
  const codes = new Set(await Promise.all(waiting));
  expect(codes.has("end")).toBe(false);
  expect(codes.has("internal")).toBe(false);
  expect(await answerOtherThan("limit", last)).toBe("0x2");
  await expectServed(last);
  last.close(0, "");
});

/** Asks again until there is another answer, for ten seconds. */
async function answerOtherThan(code: string, connection: Connection): Promise<string> {
  const endMs = performance.now() + 10_000;
  for (;;) {
    const frames = await asked(connection);
    const answer = await answerCode(frames);
    await frames.stream.end().catch(() => undefined);
    if (answer !== code || performance.now() > endMs) return answer;
    await Bun.sleep(20);
  }
}

test("streams that are through, but never ended by the client, keep no place in the keeper", async () => {
  const hostile = await stage.logIn();
  const answered: FrameStream[] = [];
  const before = stage.machine.openDescriptors();
  for (let index = 0; index < 100; index += 1) answered.push(await asked(hostile));
  for (const frames of answered) expect(await answerCode(frames)).toBe("0x2");
  await Bun.sleep(initLimits.partingMs + 500);
  await eventually(
    async () => stage.machine.openDescriptors(),
    (count) => count < before + 10,
  );
  await expectServed(hostile);
  hostile.close(0, "");
});

test("replies nobody reads, and bytes nobody asked for, cost bounded memory", async () => {
  const hostile = await stage.logIn();
  const honest = await stage.logIn();
  const before = residentKb(stage.machine.pid) + residentKb(stage.machine.linkPid());
  const unread: FrameStream[] = [];
  for (let index = 0; index < 250; index += 1) unread.push(await asked(hostile));
  // Never read, never ended; and a flood behind a request that takes no more.
  for (const { stream } of unread)
    void stream.write(new Uint8Array(512 * 1024)).catch(() => undefined);
  await Bun.sleep(1500);
  await expectServed(honest);
  const after = residentKb(stage.machine.pid) + residentKb(stage.machine.linkPid());
  expect(after - before).toBeLessThan(300 * 1024);
  hostile.close(0, "");
  honest.close(0, "");
});

test("requests of the largest size, nested, dribbled or wrong, are answered and nothing else", async () => {
  const connection = await stage.logIn();
  const bodies = [
    `{"type":"forward","host":${"[".repeat(100_000)}`,
    `{"type":"session-open","id":"a","client":"a","tty":false,"argv":${"[".repeat(60_000)}${"]".repeat(60_000)}}`,
    `{"type":"status","x":"${"y".repeat(250_000)}`,
    `{"type":"forward","host":"a","port":1e400}`,
    `{"type":"provision","id":"a","source":{"kind":"url","url":"file:///etc/passwd"}}`,
  ];
  for (const body of bodies) {
    const frames = await openFrames(connection);
    const bytes = encodeFrame(frameTypes.request, new TextEncoder().encode(body));
    for (let at = 0; at < bytes.length; at += 16_001)
      await frames.stream.write(bytes.subarray(at, at + 16_001));
    let code = await answerCode(frames);
    // A provisioning is taken on before its URL is looked at.
    if (code === "0x2") code = await answerCode(frames);
    expect(["bad-request", "download-failed"]).toContain(code);
    await frames.stream.end();
  }
  await expectServed(connection);
  connection.close(0, "");
});

test("forwards reach no Unix socket, least of all the keeper's", async () => {
  const connection = await stage.logIn();
  const socket = join(stage.machine.runDir, "keeper.sock");
  const hosts = [socket, `unix:${socket}`, `unix://${socket}`, `file://${socket}`, `\0${socket}`];
  for (const host of [...hosts, `127.0.0.1?unix=${socket}`, `localhost\0.${socket}`])
    expect(["forward-unreachable", "bad-request"]).toContain(
      await forwardCode(connection, host, 80),
    );
  // The link's own port is UDP alone.
  expect(await forwardCode(connection, "127.0.0.1", stage.address.port)).toBe("forward-refused");
  await expectServed(connection);
  connection.close(0, "");
});

test("clients beyond the limit are told BUSY, and one that leaves makes room", async () => {
  const login = await LoginStage.open();
  const { gate, endpoint } = await login.machine();
  // The stage's own machine takes connections too: this one has its own endpoint and shares the gate.
  const own = await login.server();
  const streams = new LinkStreams("/nonexistent/keeper.sock", () => undefined);
  void new LinkClients(gate, streams, 2).acceptFrom(own);
  const first = await login.login(own.address);
  const second = await login.login(own.address);
  expect([first.failure, second.failure]).toEqual([undefined, undefined]);
  const third = await login.login(own.address);
  expect(third.failure).toMatchObject({ code: "FV-NET-004", retryAfterMs: 3000 });
  first.connection.close(0, "");
  await eventually(
    async () => (await login.login(own.address)).failure,
    (failure) => failure === undefined,
  );
  await endpoint.close();
  await login.close();
});
