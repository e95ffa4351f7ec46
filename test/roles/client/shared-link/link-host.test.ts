import { expect, test } from "bun:test";
import { Failure } from "../../../../src/cli/failure.ts";
import type { ByteStream } from "../../../../src/protocol/byte-stream.ts";
import { encodeJson } from "../../../../src/protocol/message.ts";
import { FrameStream, frameTypes } from "../../../../src/protocol/frame.ts";
import type {
  AttestedLink,
  LinkConnection,
} from "../../../../src/roles/client/link/attested-link.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { LinkHost } from "../../../../src/roles/client/shared-link/link-host.ts";
import {
  decodeMessage,
  encodeMessage,
  linkDescriptionSchema,
  type LinkNews,
  linkNewsSchema,
  type LinkRequest,
} from "../../../../src/roles/client/shared-link/link-message.ts";
import { SharedFrames } from "../../../../src/roles/client/shared-link/shared-frame.ts";
import { SharedStream } from "../../../../src/roles/client/shared-link/shared-stream.ts";
import { late, within } from "../../../../src/system/within.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { rejection } from "../../../support/rejection.ts";

/** The background link's inner half: a link as commands see it on one side, sockets in memory on the other. */

const status = {
  vm_state: "ready",
  runtime: "system-init",
  init_version: "0.1.0",
  protocol_oldest: 1,
  protocol_newest: 1,
} as const;

const machine = {
  issuer: "https://oidc.fly.io/acme",
  orgId: "1",
  appId: "2",
  appName: "dev",
  machineId: "148e21ea7e46e8",
  machineName: undefined,
  region: undefined,
  image: undefined,
  imageDigest: undefined,
  issuedAtMs: 1,
  expiresAtMs: 2,
};

/** The machine's end of every stream, by number. */
class FakeLink implements AttestedLink {
  readonly far: ByteStream[] = [];
  readonly cuts: (() => void)[] = [];
  readonly login;
  readonly origin = { kind: "own" } as const;
  readonly connectionStats = { rttMs: 7, lostPackets: 0, sentPackets: 1 };
  freshStats = async () => this.connectionStats;
  readonly end = Promise.withResolvers<LinkConnection>();
  retries = 0;
  isDown = false;

  constructor(vmState: "ready" | "cold" = "ready") {
    this.login = { version: 1, machine, status: { ...status, vm_state: vmState } };
  }

  connection(): Promise<LinkConnection> {
    if (this.isDown) return this.end.promise;
    const closed = Promise.withResolvers<void>().promise;
    return Promise.resolve({ closed, openStream: () => Promise.resolve(this.open()) });
  }

  open(): ByteStream {
    const { near, far, cut } = memoryPair();
    this.far.push(far);
    this.cuts.push(cut);
    return near;
  }

  isCurrent(): boolean {
    return !this.isDown;
  }

  pause(): Promise<void> {
    return Promise.resolve();
  }

  retryNow(): void {
    this.retries += 1;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Clock {
  nowMs: number;
  /** The wall's clock goes on while the computer sleeps. */
  sleptMs: number;
}

function makeHost(
  idleMs = 60_000,
  onRequest: () => () => void = () => () => undefined,
): { host: LinkHost; clock: Clock } {
  const clock: Clock = { nowMs: 1000, sleptMs: 0 };
  const host = new LinkHost({
    vault: "dev",
    config: "/c/config.toml",
    socket: "1-x.sock",
    idleMs,
    onRequest,
    monotonicMs: () => clock.nowMs,
    wallMs: () => clock.nowMs + clock.sleptMs,
  });
  return { host, clock };
}

function connect(host: LinkHost, request: LinkRequest): SharedFrames {
  const { near, far } = memoryPair();
  void host.serve(far);
  const frames = new SharedFrames(near);
  void frames.write(encodeMessage(request));
  return frames;
}

const client = { type: "client", verbose: 0 } as const;

async function news(frames: SharedFrames): Promise<LinkNews | null> {
  const frame = await frames.read();
  return frame === null ? null : decodeMessage(linkNewsSchema, frame);
}

async function kinds(frames: SharedFrames, count: number): Promise<unknown[]> {
  const found: unknown[] = [];
  while (found.length < count) found.push((await news(frames))?.type);
  return found;
}

test("a command that comes early hears what is said, and that the link is up", async () => {
  const { host } = makeHost();
  host.notice("machine stopped, starting …\n");
  const frames = connect(host, client);
  expect(await news(frames)).toEqual({ type: "welcome", socket: "1-x.sock" });
  expect(await news(frames)).toEqual({ type: "notice", text: "machine stopped, starting …\n" });
  host.notice("first use\n");
  host.use(new FakeLink());
  expect(await kinds(frames, 2)).toEqual(["notice", "up"]);
  // Told to those that want to hear more, from now on.
  host.notice("connected: quic 3 ms\n");
  await frames.write(encodeMessage({ type: "stats" }));
  expect(await news(frames)).toMatchObject({ type: "stats", stats: { rttMs: 7 } });
});

test("what is said before anybody listens has a limit", async () => {
  const { host } = makeHost();
  for (let at = 0; at <= clientLimits.linkNoticesMax; at++) host.notice(`${at}\n`);
  host.use(new FakeLink());
  const frames = connect(host, client);
  await news(frames);
  const told = await news(frames);
  const lines = told?.type === "notice" ? told.text.trim().split("\n") : [];
  expect(lines).toHaveLength(clientLimits.linkNoticesMax);
  expect(await kinds(frames, 1)).toEqual(["up"]);
});

test("one command more than the limit is turned away, and comes in when another is gone", async () => {
  const { host } = makeHost();
  host.use(new FakeLink());
  const all = Array.from({ length: clientLimits.linkClientsMax }, () => connect(host, client));
  for (const frames of all) expect(await kinds(frames, 2)).toEqual(["welcome", "up"]);
  expect(await news(connect(host, client))).toBeNull();
  await all[0]?.end();
  await Bun.sleep(1);
  expect(await kinds(connect(host, client), 2)).toEqual(["welcome", "up"]);
});

test("a stream is carried with its ends and resets, and lost with the connection", async () => {
  const { host } = makeHost();
  const link = new FakeLink();
  host.use(link);
  const open = (generation: number): SharedStream =>
    new SharedStream(connect(host, { type: "stream", generation }));
  const first = open(1);
  await first.write(Uint8Array.of(1));
  await first.end();
  await Bun.sleep(1);
  expect(await link.far[0]?.read()).toEqual(Uint8Array.of(1));
  expect(await link.far[0]?.read()).toBeNull();
  await link.far[0]?.write(Uint8Array.of(2));
  await link.far[0]?.end();
  expect(await first.read()).toEqual(Uint8Array.of(2));
  expect(await first.read()).toBeNull();

  const reset = open(1);
  await reset.write(Uint8Array.of(1));
  await Bun.sleep(1);
  link.far[1]?.abort(9);
  expect(await rejection(reset.read())).toMatchObject({ kind: "reset", resetCode: 9 });

  const given = open(1);
  await given.write(Uint8Array.of(1));
  await Bun.sleep(1);
  given.abort(5);
  expect(await link.far[2]?.read()).toEqual(Uint8Array.of(1));
  expect(await rejection(link.far[2]?.read() ?? Promise.resolve())).toMatchObject({ resetCode: 5 });

  const lost = open(1);
  await lost.write(Uint8Array.of(1));
  await Bun.sleep(1);
  link.cuts[3]?.();
  expect(await rejection(lost.read())).toMatchObject({ kind: "connection-lost" });
  // Of a connection that is no more.
  expect(await rejection(open(2).read())).toMatchObject({ kind: "connection-lost" });
});

test("commands hear of a loss, of the next connection, and of the end", async () => {
  const { host, clock } = makeHost();
  const link = new FakeLink();
  host.use(link);
  const frames = connect(host, client);
  expect(await kinds(frames, 2)).toEqual(["welcome", "up"]);
  link.isDown = true;
  host.receiveState({ kind: "down", sinceMs: clock.nowMs, attempt: 0 });
  expect(await news(frames)).toEqual({ type: "down", attempt: 0, forMs: 0 });
  clock.nowMs += 300;
  const another = connect(host, client);
  await news(another);
  expect(await news(another)).toEqual({ type: "down", attempt: 0, forMs: 300 });
  await another.write(encodeMessage({ type: "retry" }));
  await Bun.sleep(1);
  expect(link.retries).toBe(1);
  host.receiveState({ kind: "up" });
  expect(await news(frames)).toMatchObject({ type: "up", generation: 2 });
  host.receiveState({ kind: "down", sinceMs: clock.nowMs, attempt: 0 });
  link.end.reject(new Failure("FV-AUTH-001", "refused", { because: "why", fix: "do" }));
  expect(await kinds(frames, 1)).toEqual(["down"]);
  expect(await news(frames)).toEqual({
    type: "failed",
    code: "FV-AUTH-001",
    message: "refused",
    because: "why",
    fix: "do",
    retryable: false,
  });
  await host.ended;
});

test("the machine's state is asked for again when it may have changed", async () => {
  const { host, clock } = makeHost();
  const link = new FakeLink();
  host.use(link);
  const fresh = connect(host, client);
  expect(await kinds(fresh, 2)).toEqual(["welcome", "up"]);
  expect(link.far).toHaveLength(0);
  clock.nowMs += clientLimits.linkStatusMs;
  const frames = connect(host, client);
  await news(frames);
  await Bun.sleep(1);
  const asked = new FrameStream(link.far[0] ?? expect.unreachable());
  expect((await asked.read())?.type).toBe(frameTypes.request);
  await asked.write(frameTypes.ok, encodeJson({ ...status, vm_state: "provisioning" }));
  expect(await news(frames)).toMatchObject({
    type: "up",
    login: { status: { vm_state: "provisioning" } },
  });
});

test("it ends when it was idle for so long, and not while it is used", async () => {
  const { host } = makeHost(30);
  host.use(new FakeLink());
  const frames = connect(host, client);
  await kinds(frames, 2);
  expect(await within(host.ended, 80)).toBe(late);
  await frames.end();
  expect(await within(host.ended, 20_000)).toBeUndefined();
});

test("a retired one ends with its last command, and an old one is to be retired", async () => {
  const { host, clock } = makeHost();
  host.use(new FakeLink());
  const frames = connect(host, client);
  await kinds(frames, 2);
  expect(host.isOld).toBe(false);
  clock.sleptMs = clientLimits.linkAgeMs + 1;
  expect(host.isOld).toBe(true);
  clock.sleptMs = 0;
  clock.nowMs += clientLimits.linkAgeMs + 1;
  expect(host.isOld).toBe(true);
  host.retire();
  expect(await within(host.ended, 20)).toBe(late);
  await frames.end();
  expect(await within(host.ended, 20_000)).toBeUndefined();
});

test("it describes itself, and ends when it is told to", async () => {
  const { host, clock } = makeHost();
  host.use(new FakeLink());
  clock.nowMs += 5000;
  const frame = await connect(host, { type: "describe" }).read();
  expect(decodeMessage(linkDescriptionSchema, frame ?? expect.unreachable())).toMatchObject({
    vault: "dev",
    state: "up",
    machine_id: machine.machineId,
    age_ms: 5000,
    idle_ms: 5000,
    clients: 0,
    streams: 0,
    pid: process.pid,
  });
  connect(host, { type: "stop" });
  await host.ended;
});

test("commands and their streams are work, to be looked at or stopped is none", async () => {
  const told: string[] = [];
  const { host } = makeHost(undefined, () => {
    told.push("begins");
    return () => void told.push("ends");
  });
  host.use(new FakeLink());
  for (const type of ["describe", "stop"] as const) {
    const frames = connect(host, { type });
    while ((await frames.read()) !== null);
  }
  expect(told).toEqual([]);
  const frames = connect(host, client);
  await kinds(frames, 2);
  const stream = connect(host, { type: "stream", generation: 2 });
  expect(await stream.read()).toBeNull();
  expect(told).toEqual(["begins", "begins", "ends"]);
  await frames.end();
  while (told.length < 4) await Bun.sleep(1);
});

test("whoever says nothing, or nothing sensible, is left", async () => {
  const startMs = performance.now();
  const { host } = makeHost();
  const { near, far } = memoryPair();
  void host.serve(far);
  const silent = memoryPair();
  void host.serve(silent.far);
  await near.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  expect(await near.read()).toBeNull();
  expect(await within(silent.near.read(), 20_000)).toBeNull();
  // And one that is not up and that nobody waits for ends soon.
  expect(await within(host.ended, 20_000)).toBeUndefined();
  expect(performance.now() - startMs).toBeGreaterThan(clientLimits.linkOrphanMs - 100);
});
