import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ByteStream } from "../../../src/protocol/byte-stream.ts";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { incomingSchema, listenReplySchema } from "../../../src/protocol/forward-message.ts";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { decodeJson, request, statusSchema } from "../../../src/protocol/message.ts";
import type { Connection } from "../../../src/quic/connection.ts";
import { connectTcp, listenTcp } from "../../../src/system/tcp-stream.ts";
import { listenUdp } from "../../../src/system/udp-socket.ts";
import { within } from "../../../src/system/within.ts";
import * as v from "valibot";
import { freePort } from "../../support/free-port.ts";
import { LoginStage, weakToken } from "../../support/login-stage.ts";
import { rejection } from "../../support/rejection.ts";
import { TestMachine } from "./machine.ts";
import { TestClient } from "./test-client.ts";

setDefaultTimeout(120_000);

/** The whole of init, spoken to over real QUIC after a real login. */
let machine: TestMachine;
let stage: LoginStage;
let api: Bun.Server<undefined>;

beforeAll(async () => {
  stage = await LoginStage.open();
  machine = new TestMachine({
    env: { FLY_APP_NAME: "dev-vaults", ACCESS_TOKEN: weakToken },
  });
  api = Bun.serve({
    unix: join(machine.folder, "api"),
    fetch: async (incoming) => {
      const { aud } = (await incoming.json()) as { aud: string };
      return new Response(stage.issuer.sign(aud, {}));
    },
  });
  await machine.start();
});

afterAll(async () => {
  await stage.close();
  await machine[Symbol.asyncDispose]();
  await api.stop(true);
});

async function address(): Promise<{ host: string; port: number }> {
  await machine.untilLogged('"event":"listening"');
  const text = readFileSync(join(machine.runDir, "listening"), "utf8").trim();
  const [host = "", port = ""] = text.split(":");
  return { host, port: Number(port) };
}

async function logIn(): Promise<Connection> {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    try {
      const { login, connection, failure } = await stage.login(await address());
      if (login !== undefined) return connection;
      throw failure ?? new Error("Neither login nor failure");
    } catch (error) {
      // The machine mints one piece of evidence a second; a link just killed is not there for a moment.
      if (performance.now() > deadlineMs) throw error;
      await Bun.sleep(100);
    }
  }
}

async function frames(connection: Connection): Promise<FrameStream> {
  return new FrameStream(await connection.openStream());
}

async function open(
  connection: Connection,
  argv: string[],
  client = "link-test",
): Promise<TestClient> {
  const id = crypto.randomUUID();
  const message = { type: "session-open", id, client, tty: false, argv } as const;
  return TestClient.connect(await frames(connection), message);
}

test("a stream without a request is ended, as it was by the client", async () => {
  const connection = await logIn();
  const stream = await connection.openStream();
  await stream.end();
  expect(await within(stream.read(), 10_000)).toBe(null);
  connection.close(0, "");
});

test("login, status and a command, over one connection", async () => {
  const connection = await logIn();
  const status = await request(await frames(connection), { type: "status" }, statusSchema);
  expect(status).toMatchObject({ vm_state: "ready", runtime: "fallback-init" });
  const client = await open(connection, ["/bin/sh", "-c", "cat; echo err >&2; exit 7"]);
  await client.write("through\n");
  await client.endInput();
  expect(await client.outcome()).toEqual({
    stdout: "through\n",
    stderr: "err\n",
    exit: { code: 7 },
  });
  connection.close(0, "");
});

test("the wrong token gets nothing", async () => {
  const { login, failure } = await stage.login(await address(), { accessToken: "wrong" });
  expect(login).toBeUndefined();
  expect(failure?.code).toBe("FV-AUTH-001");
});

/** Only after the other half has ended: a half-close that kills this half shows. */
async function answerWithHash(stream: ByteStream): Promise<void> {
  const hash = createHash("sha256");
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    hash.update(bytes);
  await stream.write(hash.digest());
  await stream.end();
}

test("bytes of a forward are traffic, for who waits for the machine to be idle; those of a session are not", async () => {
  // A link that has noted nothing yet.
  const link = machine.linkPid();
  process.kill(link, "SIGKILL");
  await machine.untilNewLink(link);
  const mark = join(machine.runDir, "traffic");
  rmSync(mark, { force: true });
  const connection = await logIn();
  // Whose use the keeper sees itself.
  await (await open(connection, ["echo", "used"])).over();
  expect(existsSync(mark)).toBeFalse();
  const server = listenTcp(
    { host: "127.0.0.1", port: 0 },
    { onConnection: (stream) => void answerWithHash(stream) },
  );
  const stream = await frames(connection);
  await request(stream, { type: "forward", host: "localhost", port: server.port }, v.object({}));
  const raw = stream.release();
  await raw.end();
  expect(await raw.read()).toHaveLength(32);
  expect(existsSync(mark)).toBeTrue();
  server.close();
  connection.close(0, "");
});

test("forwards: bytes both ways, each half ending by itself", async () => {
  const connection = await logIn();
  const server = listenTcp(
    { host: "127.0.0.1", port: 0 },
    {
      onConnection: (stream) => void answerWithHash(stream),
    },
  );
  const stream = await frames(connection);
  const target = { type: "forward", host: "localhost", port: server.port } as const;
  await request(stream, target, v.object({}));
  const raw = stream.release();
  const block = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const hash = createHash("sha256");
  for (let i = 0; i < 256; i++) {
    hash.update(block);
    await raw.write(block);
  }
  await raw.end();
  const answer = [];
  for (;;) {
    const bytes = await raw.read();
    if (bytes === null) break;
    answer.push(bytes);
  }
  expect(Buffer.concat(answer)).toEqual(hash.digest());
  server.close();
  connection.close(0, "");
});

test("a forward that cannot be: refused and unreachable are told apart", async () => {
  const connection = await logIn();
  const ask = async (host: string, port: number): Promise<string> => {
    const error = await rejection(
      request(await frames(connection), { type: "forward", host, port }, v.object({})),
    );
    if (!(error instanceof RemoteError)) throw error;
    return error.code;
  };
  expect(await ask("127.0.0.1", freePort())).toBe("forward-refused");
  expect(await ask("no-such-name.invalid", 80)).toBe("forward-unreachable");
  connection.close(0, "");
});

test("a link that is killed takes no listener with it: who connects meanwhile is only kept waiting", async () => {
  let connection = await logIn();
  const at = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const listen = { type: "forward-listen", id: "kept", at } as const;
  const { port = 0 } = await request(await frames(connection), listen, listenReplySchema);
  const link = machine.linkPid();
  process.kill(link, "SIGKILL");
  const caller = await connectTcp({ host: "127.0.0.1", port });
  await caller.write(new TextEncoder().encode("patient"));
  await caller.end();
  await machine.untilNewLink(link);
  connection = await logIn();
  const stream = await frames(connection);
  const again = await request(stream, { ...listen, at: { ...at, port } }, listenReplySchema);
  expect(again).toEqual({ port, created: false });
  const arrived = await stream.read();
  const incoming = decodeJson(incomingSchema, arrived?.payload ?? new Uint8Array(0), "Incoming");
  expect(incoming).toEqual({ connection: 1, from: "127.0.0.1" });
  const taken = await frames(connection);
  await request(taken, { type: "forward-accept", listener: "kept", connection: 1 }, v.object({}));
  const raw = taken.release();
  expect(new TextDecoder().decode((await raw.read()) ?? undefined)).toBe("patient");
  expect(await raw.read()).toBeNull();
  await raw.write(new TextEncoder().encode("rewarded"));
  await raw.end();
  expect(new TextDecoder().decode((await caller.read()) ?? undefined)).toBe("rewarded");
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
  expect(await stream.read()).toBeNull();
  connection.close(0, "");
});

test("a reset of a connection at a listener is one at the client, and the other way round", async () => {
  const connection = await logIn();
  const at = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const stream = await frames(connection);
  const listen = { type: "forward-listen", id: "resets", at } as const;
  const { port = 0 } = await request(stream, listen, listenReplySchema);
  const joined = async (number: number): Promise<{ caller: ByteStream; taken: ByteStream }> => {
    const caller = await connectTcp({ host: "127.0.0.1", port });
    await stream.read();
    const accepting = await frames(connection);
    const accept = { type: "forward-accept", listener: "resets", connection: number } as const;
    await request(accepting, accept, v.object({}));
    return { caller, taken: accepting.release() };
  };
  const first = await joined(1);
  first.caller.abort(0);
  expect(await rejection(first.taken.read())).toMatchObject({ kind: "reset" });
  const second = await joined(2);
  second.taken.abort(0);
  expect(await rejection(second.caller.read())).toMatchObject({ kind: "reset" });
  await stream.write(frameTypes.listenEnd, new Uint8Array(0));
  connection.close(0, "");
});

test("datagrams to a port of the machine and back", async () => {
  const echo = await listenUdp({ host: "127.0.0.1", port: 0 }, (socket, bytes, port, host) => {
    socket.send(bytes, port, host);
  });
  const connection = await logIn();
  const stream = await frames(connection);
  const target = { type: "forward-udp", host: "localhost", port: echo.port } as const;
  await request(stream, target, v.object({}));
  for (const length of [5, 0, 65_507]) {
    await stream.write(frameTypes.datagram, new Uint8Array(length));
    expect(await stream.read()).toEqual({
      type: frameTypes.datagram,
      payload: new Uint8Array(length),
    });
  }
  echo.close();
  const peers = [stream];
  for (;;) {
    const next = await frames(connection);
    const refused = await request(next, target, v.object({})).catch((error: unknown) => error);
    if (refused instanceof RemoteError) {
      expect(refused.code).toBe("limit");
      break;
    }
    peers.push(next);
  }
  expect(peers.length).toBeGreaterThan(200);
  connection.close(0, "");
});

test("a link that is killed takes no shell with it: the client comes back to every byte", async () => {
  let connection = await logIn();
  let client = await open(
    connection,
    [
      "/bin/sh",
      "-c",
      "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; sleep 0.001; done; exit 9",
    ],
    "survivor",
  );
  const { id, generation } = client.reply;
  for (let round = 0; round < 3; round++) {
    await Bun.sleep(300);
    const link = machine.linkPid();
    process.kill(link, "SIGKILL");
    await machine.untilNewLink(link);
    connection = await logIn();
    const message = {
      type: "session-attach",
      session: id,
      generation,
      client: "survivor",
      mode: "take-over",
      ...client.state.shownOffsets,
    } as const;
    const next = await TestClient.connect(await frames(connection), message, client.state);
    next.takeOutputFrom(client);
    client = next;
  }
  const { stdout, exit } = await client.outcome();
  expect(exit).toEqual({ code: 9 });
  expect(stdout).toBe(Array.from({ length: 3000 }, (_, i) => `line ${i + 1}\n`).join(""));
  connection.close(0, "");
});

test("32 MiB through a command and back over QUIC are equal", async () => {
  const connection = await logIn();
  const client = await open(connection, ["cat"]);
  const block = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const hash = createHash("sha256");
  for (let i = 0; i < 512; i++) {
    hash.update(block);
    await client.write(block);
  }
  await client.endInput();
  await client.over();
  expect(createHash("sha256").update(client.stdoutBytes()).digest("hex")).toBe(hash.digest("hex"));
  connection.close(0, "");
});
