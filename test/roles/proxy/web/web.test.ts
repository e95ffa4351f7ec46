import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { webLimits } from "../../../../src/roles/proxy/web/web-limits.ts";
import { WebProcess } from "../../../support/web-process.ts";

/** The web process as its broker has it, with clients that are Bun's own WebSockets. */

let web: WebProcess;
beforeEach(async () => {
  web = await WebProcess.listening();
});
afterEach(async () => {
  await web[Symbol.asyncDispose]();
});

interface Client {
  readonly socket: WebSocket;
  readonly received: Uint8Array[];
  readonly closed: Promise<number>;
}

async function open(headers: Record<string, string> = {}): Promise<Client> {
  const socket = new WebSocket(web.webSocketUrl, { headers });
  socket.binaryType = "arraybuffer";
  const received: Uint8Array[] = [];
  socket.addEventListener("message", ({ data }) => received.push(new Uint8Array(data)));
  const closed = new Promise<number>((resolve) => {
    socket.addEventListener("close", ({ code }) => resolve(code));
  });
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  return { socket, received, closed };
}

const bytes = (length: number, fill = 7): Uint8Array<ArrayBuffer> =>
  new Uint8Array(length).fill(fill);

test("datagrams pass both ways as they are, each connection under a number of its own", async () => {
  const [one, other] = [await open(), await open()];
  for (const length of [1, 1228, webLimits.messageBytesMax]) one.socket.send(bytes(length, 1));
  other.socket.send(bytes(45, 2));
  await web.until(() => web.frames.length === 4);
  const ofOne = web.frames.filter(({ datagram }) => datagram[0] === 1);
  expect(ofOne.map(({ datagram }) => datagram.length)).toEqual([1, 1228, 16_412]);
  expect(new Set(web.frames.map(({ connection }) => connection)).size).toBe(2);
  expect(new Set(web.frames.map(({ address }) => address))).toEqual(new Set(["127.0.0.1"]));
  for (const { connection, datagram } of web.frames) web.answer(connection, datagram);
  await web.until(() => one.received.length === 3 && other.received.length === 1);
  expect(one.received.map((datagram) => Bun.hash(datagram))).toEqual(
    ofOne.map(({ datagram }) => Bun.hash(new Uint8Array(datagram))),
  );
  await web.until(() => web.newestCounters["web_datagrams_out"] === 4);
  expect(web.newestCounters).toMatchObject({
    web_accepted: 2,
    web_requests: 0,
    web_connections: 2,
    web_unadmitted: 0,
    web_datagrams_in: 4,
  });
});

test("whoever goes is told to the relay, and whom the relay forgets has to go", async () => {
  const [one, other] = [await open(), await open()];
  one.socket.send(bytes(5));
  await web.until(() => web.frames.length === 1);
  one.socket.close();
  await web.until(() => web.frames.length === 2);
  expect(web.frames[1]).toMatchObject({ connection: web.frames[0]?.connection });
  expect(web.frames[1]?.datagram).toHaveLength(0);
  other.socket.send(bytes(5));
  await web.until(() => web.frames.length === 3);
  web.answer(web.frames[2]?.connection ?? 0, bytes(0));
  expect(await other.closed).toBe(1001);
});

test.each([
  ["words", "hello"],
  ["nothing", new Uint8Array(0)],
  ["more than a datagram", new Uint8Array(webLimits.messageBytesMax + 1)],
])("%s ends the connection, and no datagram comes of it", async (_, message) => {
  const client = await open();
  client.socket.send(message);
  expect([1003, 1009]).toContain(await client.closed);
  await web.until(() => web.frames.length === 1);
  expect(web.frames[0]?.datagram).toHaveLength(0);
});

test("a client that pings and never reads has to go", async () => {
  const { hostname, port } = new URL(web.url("/"));
  const socket = connect(Number(port), hostname).on("error", () => undefined);
  const head = Object.entries(upgrade).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET /v1/datagrams HTTP/1.1\r\nhost: a\r\n${head.join("")}\r\n`);
  await new Promise<void>((resolve) => {
    socket.once("data", () => resolve());
  });
  socket.pause();
  // A header, a mask of zeros, and as much as a ping may have.
  const ping = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
  const pings = Buffer.concat(Array.from({ length: 500 }, () => ping));
  const pinging = setInterval(() => {
    if (socket.writableLength < 4 * pings.length) socket.write(pings);
  }, 1);
  await web.until(() => web.newestCounters["web_closed_misuse"] === 1);
  clearInterval(pinging);
  socket.destroy();
});

test("a stranger's frames at its socket are nothing", async () => {
  const client = await open();
  client.socket.send(bytes(3));
  await web.until(() => web.frames.length === 1);
  const { connection } = web.frames[0] ?? { connection: 0 };
  web.answer(connection, bytes(4), bytes(8));
  web.answer((connection ^ 1) >>> 0, bytes(4));
  web.answer(connection, bytes(6));
  await web.until(() => client.received.length > 0);
  expect(client.received.map(({ length }) => length)).toEqual([6]);
});

test("the connections outlive a relay: the next one has another door", async () => {
  const client = await open();
  const next = await WebProcess.listening();
  try {
    await web.order({ kind: "door", port: next.doorPort });
    // The cookie is another process's in this test, so all that shows is where the frames go.
    const arrived = Promise.withResolvers<Uint8Array>();
    next.receive = arrived.resolve;
    const sending = setInterval(() => client.socket.send(bytes(9)), 5);
    const frame = await arrived.promise;
    clearInterval(sending);
    expect(frame).toHaveLength(39);
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  } finally {
    await next[Symbol.asyncDispose]();
  }
});

test("draining: the old ones are sent elsewhere, new ones are not let in", async () => {
  const client = await open();
  await web.order({ kind: "drain" });
  expect(await client.closed).toBe(1012);
  const response = await fetch(web.url("/v1/datagrams"), { headers: upgrade });
  expect([response.status, await response.text()]).toEqual([
    503,
    "this proxy is going, connect again\n",
  ]);
});

const upgrade = {
  upgrade: "websocket",
  connection: "upgrade",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-version": "13",
};

test.each([
  ["/", {}, 404, "not found"],
  ["/metrics", {}, 404, "not found"],
  ["/v1/datagrams", { method: "POST" }, 405, "only GET"],
  ["/v1/datagrams", {}, 426, "a WebSocket is wanted"],
  ["/v1/datagrams", { headers: { upgrade: "websocket" } }, 400, "no handshake of a WebSocket"],
  ["/healthz", { method: "POST" }, 405, "only GET"],
  ["/healthz", {}, 503, "starting"],
])("%s %j is %i", async (path, request, status, words) => {
  const response = await fetch(web.url(path), request);
  expect([response.status, await response.text()]).toEqual([status, `${words}\n`]);
});

test("health and metrics are what the broker said last, the latter at the private door alone", async () => {
  expect((await fetch(web.url("/metrics", "metrics"))).status).toBe(503);
  await web.order({ kind: "metrics", text: "fly_vault_up 1\n" });
  await web.order({ kind: "health", ok: true, why: "ok" });
  await untilStatus(200, "/healthz", "http");
  await untilStatus(200, "/metrics", "metrics");
  const response = await fetch(web.url("/metrics", "metrics"));
  expect(response.headers.get("content-type")).toContain("version=0.0.4");
  expect(await response.text()).toBe("fly_vault_up 1\n");
  for (const server of ["http", "metrics"] as const)
    expect(await (await fetch(web.url("/healthz", server))).text()).toBe("ok\n");
  const early = "ok, the list of machines is still to come";
  await web.order({ kind: "health", ok: true, why: early });
  await web.order({ kind: "metrics", text: "fly_vault_up 2\n" });
  while ((await (await fetch(web.url("/metrics", "metrics"))).text()) !== "fly_vault_up 2\n")
    await Bun.sleep(5);
  expect(await (await fetch(web.url("/healthz", "http"))).text()).toBe(`${early}\n`);
  await web.order({ kind: "health", ok: false, why: "the relay restarts" });
  await untilStatus(503, "/healthz", "http");
  expect((await fetch(web.url("/nothing", "metrics"))).status).toBe(404);
});

async function untilStatus(status: number, path: string, server: "http" | "metrics") {
  while ((await fetch(web.url(path, server))).status !== status) await Bun.sleep(5);
}

test("it ends with its stdin, or with the first order that is none", async () => {
  await web.endInput();
  expect(await web.exited).toBe(0);
  await using other = await WebProcess.listening();
  await other.write('{"kind":"shell"}\n');
  expect(await other.exited).toBe(1);
  expect(other.reports.at(-1)?.kind).toBe("failed");
});

test("an address that is taken is told", async () => {
  const taken = Number(new URL(web.url("/")).port);
  await using other = await WebProcess.open({ http: { host: "127.0.0.1", port: taken } });
  expect(await other.exited).toBe(1);
  await other.until(() => other.reports.length > 0);
  expect(other.reports).toEqual([
    { kind: "failed", message: expect.stringContaining(`port ${taken} in use`) },
  ]);
});

test("Fly-Client-IP is believed only where the plan says so", async () => {
  const headers = { "fly-client-ip": "198.51.100.7" };
  (await open(headers)).socket.send(bytes(1));
  await web.until(() => web.frames.length === 1);
  expect(web.frames[0]?.address).toBe("127.0.0.1");
  await using trusting = await WebProcess.listening({ trustClientIp: true });
  const before = web;
  web = trusting;
  (await open(headers)).socket.send(bytes(1));
  await web.until(() => web.frames.length === 1);
  web = before;
  expect(trusting.frames[0]?.address).toBe("198.51.100.7");
});
