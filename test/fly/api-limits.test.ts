import { expect, test } from "bun:test";
import { apiLimits } from "../../src/fly/api-limits.ts";
import { ApiTransport } from "../../src/fly/api-transport.ts";
import { MachinesApi } from "../../src/fly/machines-api.ts";
import { rejection } from "../support/rejection.ts";

const callTimeoutMs = 150;
const clock = { monotonicMs: () => 0, sleep: async () => undefined, random: () => 0 };

test("an API that hangs for ever: at the time limit a read is tried again, and then lost", async () => {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async () => new Promise<Response>(() => undefined),
  });
  const base = `http://127.0.0.1:${server.port}`;
  const transport = new ApiTransport({
    base,
    token: "t",
    userAgent: "x",
    clock,
    attemptsMax: 2,
    callTimeoutMs,
  });
  const api = new MachinesApi({ app: "a", clock, transport });
  const startedMs = performance.now();
  expect(await rejection(api.readMachine("m1"))).toMatchObject({ kind: "lost" });
  expect(performance.now() - startedMs).toBeGreaterThan(1.8 * callTimeoutMs);
  await server.stop(true);
});

test("an answer that comes a byte at a time is cut off at the same limit, though it never stops", async () => {
  let sent = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            await Bun.sleep(5);
            sent += 1;
            controller.enqueue(new TextEncoder().encode(" "));
          },
        }),
      ),
  });
  const transport = new ApiTransport({
    base: `http://127.0.0.1:${server.port}`,
    token: "t",
    userAgent: "x",
    clock,
    attemptsMax: 1,
    callTimeoutMs: 4 * callTimeoutMs,
  });
  const api = new MachinesApi({ app: "a", clock, transport });
  expect(await rejection(api.readMachine("m1"))).toMatchObject({ kind: "lost" });
  expect(sent).toBeGreaterThan(1);
  await server.stop(true);
});

test("a hundred thousand machines, page by page, in bounded memory", async () => {
  const pages = 100;
  const rows = apiLimits.summaryPageSize;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { searchParams } = new URL(request.url);
      const page = Number(searchParams.get("cursor") ?? 0);
      const machines = Array.from({ length: rows }, (_, row) => ({
        id: `${page}-${row}`,
        state: "started",
        private_ip: "fdaa:0:1:a7b:1:2:3:2",
        filler: "x".repeat(300),
      }));
      const headers = page + 1 < pages ? { "fly-next-cursor": String(page + 1) } : undefined;
      return Response.json(machines, headers === undefined ? {} : { headers });
    },
  });
  const base = `http://127.0.0.1:${server.port}`;
  const api = new MachinesApi({ base, token: "t", app: "a", userAgent: "x", clock });
  Bun.gc(true);
  const before = process.memoryUsage().heapUsed;
  let seen = 0;
  let most = 0;
  for await (const { machines } of api.listSummaries()) {
    seen += machines.length;
    if (seen % 10_000 !== 0) continue;
    Bun.gc(true);
    most = Math.max(most, process.memoryUsage().heapUsed - before);
  }
  await server.stop(true);
  expect(seen).toBe(pages * rows);
  // All of them at once are 40 MB of JSON.
  expect(most).toBeLessThan(16 << 20);
}, 120_000);
