import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import {
  type ForwardListenRequest,
  incomingSchema,
  listenReplySchema,
} from "../../../src/protocol/forward-message.ts";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { decodeError, decodeJson, request } from "../../../src/protocol/message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { textOf } from "../../../src/system/proc-files.ts";
import { connectTcp, connectUnix, listenTcp, listenUnix } from "../../../src/system/tcp-stream.ts";
import { within } from "../../../src/system/within.ts";
import { rejection } from "../../support/rejection.ts";
import { codeOf, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** A real guest with a root of its own, asked as a link asks. */
let machine: TestMachine;
let root: string;
let outside: string;

beforeAll(async () => {
  machine = await TestMachine.boot();
  root = join(machine.dataDir, "rootfs");
  outside = join(machine.folder, "outside.sock");
  mkdirSync(join(root, "srv"), { recursive: true });
});
afterAll(async () => machine[Symbol.asyncDispose]());

async function frames(): Promise<FrameStream> {
  return new FrameStream(await machine.connect());
}

async function connectTo(path: string): Promise<ByteStream> {
  const stream = await frames();
  await request(stream, { type: "forward-unix", path }, v.object({}));
  return stream.release();
}

const atPath = (path: string) => ({ at: { kind: "unix", path } as const });
const atHost = (host: string) => ({ at: { kind: "tcp", host, port: 0 } as const });
const loopback = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;

async function listen(
  wish: Partial<ForwardListenRequest> = {},
): Promise<{ stream: FrameStream; port: number; created: boolean; id: string }> {
  const stream = await frames();
  const id = wish.id ?? crypto.randomUUID();
  const message = { type: "forward-listen", at: loopback, ...wish, id } as const;
  const { port = 0, created } = await request(stream, message, listenReplySchema);
  return { stream, port, created, id };
}

async function nextIncoming(stream: FrameStream): Promise<number> {
  const frame = await stream.read();
  if (frame?.type !== frameTypes.incoming) throw new Error(`Frame ${frame?.type}`);
  return decodeJson(incomingSchema, frame.payload, "Incoming").connection;
}

async function accept(listener: string, connection: number): Promise<ByteStream> {
  const stream = await frames();
  const message = { type: "forward-accept", listener, connection } as const;
  await request(stream, message, v.object({}));
  return stream.release();
}

async function text(stream: ByteStream): Promise<string> {
  let all = "";
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    all += new TextDecoder().decode(bytes);
  return all;
}

test("a path is one of the guest: through its links, never out of its root", async () => {
  const server = listenUnix(join(root, "srv/inner.sock"), {
    onConnection: (stream) => void stream.write(Uint8Array.of(105)).then(() => stream.end()),
  });
  const trap = listenUnix(outside, { onConnection: (stream) => stream.abort(0) });
  symlinkSync("/srv/inner.sock", join(root, "absolute.sock"));
  symlinkSync("../../../../../../../../srv/inner.sock", join(root, "srv/upwards.sock"));
  symlinkSync(outside, join(root, "escape.sock"));
  symlinkSync(machine.folder, join(root, "escape"));
  symlinkSync("/proc/1/root", join(root, "magic"));
  for (const path of ["/srv/inner.sock", "/absolute.sock", "/srv/upwards.sock"])
    expect(await text(await connectTo(path))).toBe("i");
  for (const path of [
    "/escape.sock",
    "/escape/outside.sock",
    `/../../..${outside}`,
    `/magic${outside}`,
    machine.socket,
    outside,
  ])
    expect(await codeOf(connectTo(path))).toBe("forward-unreachable");
  server.close();
  trap.close();
});

test("nothing listens, no such thing, and what is no socket are told apart", async () => {
  const path = join(root, "srv/left.sock");
  const left = listenUnix(`${path}.x`, { onConnection: () => undefined });
  await Bun.$`mv ${path}.x ${path}`.quiet();
  left.close();
  writeFileSync(join(root, "srv/file"), "");
  expect(await codeOf(connectTo("/srv/left.sock"))).toBe("forward-refused");
  expect(await codeOf(connectTo("/srv/file"))).toBe("forward-refused");
  expect(await codeOf(connectTo("/srv/none.sock"))).toBe("forward-unreachable");
});

test("a listener by path: in the guest's root alone, private, never in the place of another", async () => {
  symlinkSync(machine.folder, join(root, "srv/out"));
  symlinkSync(join(machine.folder, "made.sock"), join(root, "srv/dangling.sock"));
  for (const path of ["/srv/out/made.sock", "/srv/dangling.sock"])
    expect(await codeOf(listen(atPath(path)))).toBe("listen-refused");
  expect(existsSync(join(machine.folder, "made.sock"))).toBe(false);
  for (const path of ["/srv/file", "/srv/left.sock", "/srv/..", "/srv/", "/none/x.sock"])
    expect(await codeOf(listen(atPath(path)))).toBe("listen-refused");
  const { stream, id } = await listen(atPath("/srv/agent.sock"));
  expect(statSync(join(root, "srv/agent.sock")).mode & 0o777).toBe(0o600);
  const inside = await connectUnix(join(root, "srv/agent.sock"));
  const taken = await accept(id, await nextIncoming(stream));
  await inside.write(new TextEncoder().encode("hello"));
  await inside.end();
  expect(await text(taken)).toBe("hello");
  await taken.end();
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
  expect(await stream.read()).toBeNull();
  expect(existsSync(join(root, "srv/agent.sock"))).toBe(false);
});

test("what the guest puts in the place of a listener's socket is not taken away with it", async () => {
  const { stream } = await listen({ at: { kind: "unix", path: "/srv/moved.sock" } });
  await machine.run(["/bin/sh", "-c", "rm /srv/moved.sock; echo mine >/srv/moved.sock"]);
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
  expect(await stream.read()).toBeNull();
  expect(await Bun.file(join(root, "srv/moved.sock")).text()).toBe("mine\n");
});

test("connections are announced in order, taken once, and joined", async () => {
  const { stream, port, id } = await listen();
  const [one, two] = [
    await connectTcp({ host: "127.0.0.1", port }),
    await connectTcp({ host: "127.0.0.1", port }),
  ];
  expect([await nextIncoming(stream), await nextIncoming(stream)]).toEqual([1, 2]);
  const second = await accept(id, 2);
  await two.write(new TextEncoder().encode("second"));
  await two.end();
  expect(await text(second)).toBe("second");
  await second.write(new TextEncoder().encode("answer"));
  await second.end();
  expect(await text(two)).toBe("answer");
  expect(await codeOf(accept(id, 2))).toBe("not-found");
  expect(await codeOf(accept("nobody", 1))).toBe("not-found");
  const refusing = await frames();
  const refuse = { type: "forward-accept", listener: id, connection: 1, refuse: true } as const;
  await request(refusing, refuse, v.object({}));
  expect(await rejection(one.read())).toMatchObject({ kind: "reset" });
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
});

test("a client that comes back has the same port, and what waited meanwhile", async () => {
  const first = await listen();
  first.stream.stream.abort(0);
  const waiting = await connectTcp({ host: "127.0.0.1", port: first.port });
  await Bun.sleep(50);
  const again = await listen({ id: first.id });
  expect(again).toMatchObject({ port: first.port, created: false });
  const taken = await accept(first.id, await nextIncoming(again.stream));
  await waiting.end();
  expect(await text(taken)).toBe("");
  const thief = await listen({ id: first.id });
  const told = await again.stream.read();
  expect(told?.type).toBe(frameTypes.error);
  expect(decodeError(told?.payload ?? new Uint8Array(0)).code).toBe("taken-over");
  await thief.stream.write(frameTypes.listenEnd, new Uint8Array(0));
  expect(await thief.stream.read()).toBeNull();
  expect(await rejection(connectTcp({ host: "127.0.0.1", port: first.port }))).toMatchObject({
    code: "ECONNREFUSED",
  });
});

test("loopback alone without gateway; a port in use; another kind under that id", async () => {
  for (const host of ["0.0.0.0", "::", "localhost", "10.0.0.1", "127.0.0.1.example"])
    expect(await codeOf(listen(atHost(host)))).toBe("listen-refused");
  const six = await listen(atHost("::1"));
  const open = await listen({ ...atHost("0.0.0.0"), gateway: true });
  const taken = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: () => undefined });
  expect(await codeOf(listen({ at: { ...loopback, port: taken.port } }))).toBe("listen-refused");
  taken.close();
  const unix = { kind: "unix", path: "/srv/other.sock" } as const;
  expect(await codeOf(listen({ id: six.id, at: unix }))).toBe("already-exists");
  for (const each of [six, open]) await each.stream.write(frameTypes.listenEnd, new Uint8Array(0));
});

test("another frame than listen-end is a violation, and the listener goes with it", async () => {
  const { stream, port } = await listen();
  await stream.write(frameTypes.datagram, new Uint8Array(1));
  const told = await stream.read();
  expect(decodeError(told?.payload ?? new Uint8Array(0)).code).toBe("bad-request");
  expect(await rejection(connectTcp({ host: "127.0.0.1", port }))).toMatchObject({
    code: "ECONNREFUSED",
  });
});

test("listeners, and connections that wait, have a limit; who waits too long is let go", async () => {
  const all = await Promise.all(Array.from({ length: initLimits.listenersMax }, () => listen()));
  expect(await codeOf(listen())).toBe("limit");
  const [first] = all;
  const port = first?.port ?? 0;
  const startedMs = performance.now();
  const waiting = await Promise.all(
    Array.from({ length: initLimits.waitingConnectionsMax }, () =>
      connectTcp({ host: "127.0.0.1", port }),
    ),
  );
  // Reset before or after the caller has seen that it is connected.
  const beyond = connectTcp({ host: "127.0.0.1", port }).then((stream) => stream.read());
  expect(await rejection(beyond)).toMatchObject({ name: expect.stringMatching(/Error$/) });
  const ended = await within(Promise.all(waiting.map((each) => rejection(each.read()))), 40_000);
  expect(ended).toHaveLength(initLimits.waitingConnectionsMax);
  expect(performance.now() - startedMs).toBeGreaterThan(initLimits.acceptMs - 100);
  for (const each of all) await each.stream.write(frameTypes.listenEnd, new Uint8Array(0));
  for (const each of all) expect(await each.stream.read()).not.toBeUndefined();
});

test("connections of a listener, and forwards that the keeper serves, have a limit", async () => {
  const { stream, port, id } = await listen();
  const open: ByteStream[] = [];
  for (let number = 1; number <= initLimits.listenerConnectionsMax; number++) {
    open.push(await connectTcp({ host: "127.0.0.1", port }));
    open.push(await accept(id, await nextIncoming(stream)));
  }
  const beyond = connectTcp({ host: "127.0.0.1", port }).then((caller) => caller.read());
  expect(await rejection(beyond)).toMatchObject({ name: expect.stringMatching(/Error$/) });
  const server = listenUnix(join(root, "srv/full.sock"), { onConnection: () => undefined });
  const more = Array.from({ length: initLimits.guestForwardsMax }, () =>
    connectTo("/srv/full.sock"),
  );
  const outcomes = await Promise.allSettled(more);
  const granted = outcomes.filter(({ status }) => status === "fulfilled").length;
  // Those of the tests before may not all be over yet.
  const room = initLimits.guestForwardsMax - initLimits.listenerConnectionsMax;
  expect(granted).toBeLessThanOrEqual(room);
  expect(granted).toBeGreaterThan(room - 16);
  expect(outcomes.findLast(({ status }) => status === "rejected")).toMatchObject({
    reason: { code: "limit" },
  });
  for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.abort(0);
  server.close();
  for (const each of open) each.abort(0);
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
});

test("a listener's path ends with the root it was in; a port stays", async () => {
  const unix = await listen({ at: { kind: "unix", path: "/srv/ends.sock" } });
  const tcp = await listen();
  const first = machine.descendants().find(isFirstOfItsNamespace) ?? 0;
  expect(first).toBeGreaterThan(1);
  process.kill(first, "SIGKILL");
  const told = await unix.stream.read();
  expect(decodeError(told?.payload ?? new Uint8Array(0)).code).toBe("gone");
  const waiting = await connectTcp({ host: "127.0.0.1", port: tcp.port });
  expect(await nextIncoming(tcp.stream)).toBe(1);
  waiting.abort(0);
  await eventually(
    () => machine.status(),
    ({ runtime }) => runtime === "fallback-init",
  );
  const again = await listen({ at: { kind: "unix", path: "/srv/ends.sock" } });
  expect(again.created).toBe(true);
  for (const each of [again, tcp]) await each.stream.write(frameTypes.listenEnd, new Uint8Array(0));
});

function isFirstOfItsNamespace(pid: number): boolean {
  const status = textOf(`/proc/${pid}/status`);
  return /^NSpid:\t\d+\t1$/m.test(status);
}
