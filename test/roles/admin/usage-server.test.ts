import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import {
  checkListenAddress,
  openUsageServer,
  type UsageServer,
} from "../../../src/roles/admin/usage-server.ts";
import { UsageService } from "../../../src/roles/admin/usage-service.ts";
import { schemaOfUsageFacts } from "./usage-schema.ts";
import { authorised, token, type UsageStage, usageStage } from "./usage-stage.ts";

const check = async (text: string, hasBearer: boolean, insecure: boolean): Promise<unknown> => {
  try {
    return (await checkListenAddress(text, { hasBearer, insecure })).isLoopback;
  } catch (error) {
    return error instanceof Error && "because" in error ? error.because : error;
  }
};

test("what other computers may reach needs a bearer, and a word for the missing TLS", async () => {
  for (const address of ["127.0.0.1:0", "127.9.9.9:1", "[::1]:0", "localhost:0"])
    expect(await check(address, false, false)).toBe(true);
  for (const address of ["0.0.0.0:0", "[::]:0", "10.1.2.3:9090", "[fdaa::1]:9090"]) {
    expect(await check(address, false, true)).toContain("there is no bearer token");
    expect(await check(address, true, false)).toContain("in the clear");
    expect(await check(address, true, true)).toBe(false);
  }
  for (const address of ["9090", "127.0.0.1", "127.0.0.1:65536", ":1"])
    expect(await check(address, true, true)).toContain("Not an address");
});

const line = (start: string, ...headers: readonly string[]): string =>
  [start, ...headers, "", ""].join("\r\n");

let server: UsageServer | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});
const open = async (stage: UsageStage): Promise<UsageServer> => {
  const address = await checkListenAddress("127.0.0.1:0", { hasBearer: true, insecure: false });
  server = openUsageServer(address, stage.service, () => undefined);
  return server;
};
/** Raw bytes, and what comes back until the other side closes or has answered. */
const raw = async (to: UsageServer, bytes: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(to.url).port), "127.0.0.1");
    let text = "";
    const end = (): void => {
      socket.destroy();
      resolve(text);
    };
    socket.on("data", (chunk) => {
      text += chunk.toString();
      if (text.includes("\r\n\r\n")) end();
    });
    socket.on("close", end);
    socket.on("error", end);
    socket.write(bytes);
  });

test("over a socket: answers, and what is no request", async () => {
  const stage = usageStage({ bearer: token });
  const on = await open(stage);
  const answer = await fetch(`${on.url}/usage-facts`, { headers: authorised });
  expect(schemaOfUsageFacts.problems(await answer.json())).toEqual([]);
  const auth = `Authorization: Bearer ${token}`;
  const host = "Host: localhost";
  for (const [request, status] of [
    [line("GET /healthz HTTP/1.1", host, auth), 200],
    [line("GET /healthz HTTP/1.1", host, auth, auth), 400],
    [line("GET /healthz HTTP/1.1", host, host, auth), 400],
    [line("GET /healthz HTTP/1.1", auth), 400],
    [line("GET /healthz HTTP/1.0", auth), 400],
    [line("GET /healthz HTTP/1.1", "Host: evil.example", auth), 421],
    [line("GET http://evil.example/healthz HTTP/1.1", host, auth), 200],
    [line("GET //healthz HTTP/1.1", host, auth), 404],
    [line("GET /x/..%2fhealthz HTTP/1.1", host, auth), 404],
    [line("GET /%zz HTTP/1.1", host, auth), 404],
    [line("TRACE /healthz HTTP/1.1", host, auth), 405],
    [line("GET /healthz HTTP/1.1", host, auth, "Content-Length: 1") + "x", 400],
    [line("GET /healthz HTTP/1.1", host, `${auth}\0`), 400],
    [line("GET /healthz HTTP/1.1", host, `X: ${"x".repeat(65_536)}`), 431],
    [
      line("POST /healthz HTTP/1.1", host, auth, "Content-Length: 1", "Transfer-Encoding: chunked"),
      400,
    ],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
    ["\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 400],
  ] as const) {
    const head = (await raw(on, request)).split("\r\n")[0];
    expect([request.slice(0, 60), head]).toEqual([
      request.slice(0, 60),
      expect.stringContaining(`HTTP/1.1 ${status}`),
    ]);
  }
});

/** Connections that say nothing, or too slowly, are closed by the other side. */
const closedByServer = async (port: number, first: string, drip: string): Promise<void> => {
  const socket = connect(port, "127.0.0.1");
  const closed = Promise.withResolvers<void>();
  socket.on("close", () => closed.resolve());
  socket.on("error", () => undefined);
  if (first !== "") socket.write(first);
  const tap = drip === "" ? undefined : setInterval(() => socket.write(drip), 200);
  await closed.promise;
  clearInterval(tap);
};

// Bun gives a connection ten seconds to bring a request, whatever else it is told.
test("a thousand connections that bring nothing, or too slowly, are closed", async () => {
  const on = await open(usageStage());
  const port = Number(new URL(on.url).port);
  const begun = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ";
  const closed = Promise.all([
    ...Array.from({ length: 1_000 }, async () => closedByServer(port, "", "")),
    closedByServer(port, begun, "x"),
  ]);
  expect((await fetch(`${on.url}/healthz`)).status).toBe(200);
  await closed;
}, 120_000);

test("a mistake of ours is told as one, without a trace of it", async () => {
  const stage = usageStage();
  const mistakes: unknown[] = [];
  const address = await checkListenAddress("127.0.0.1:0", { hasBearer: true, insecure: false });
  const service = new UsageService({
    app: "a",
    cache: stage.cache,
    bearer: {
      isWeak: false,
      admits: () => {
        throw new Error("secret detail");
      },
    },
    journal: undefined,
    isLoopback: true,
    nowMs: () => 0,
  });
  server = openUsageServer(address, service, (error) => mistakes.push(error));
  const answer = await fetch(`${server.url}/healthz`);
  expect([answer.status, await answer.text()]).toEqual([500, '{"error":"a mistake of ours"}']);
  expect(mistakes.length).toBe(1);
  expect(() =>
    openUsageServer(
      { ...address, port: Number(new URL(server?.url ?? "").port) },
      service,
      () => undefined,
    ),
  ).toThrow("cannot listen");
});
