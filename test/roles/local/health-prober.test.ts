import { afterEach, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { HealthProber } from "../../../src/roles/local/health-prober.ts";
import { localLimits } from "../../../src/roles/local/limits.ts";
import type { MachineRecord } from "../../../src/roles/local/record.ts";
import { eventually } from "./stage.ts";

const servers: { close(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function machine(config: Record<string, unknown>, id = "m"): MachineRecord {
  const times = { createdAtMs: 0, updatedAtMs: 0 };
  const rest = { cordoned: false, events: [], restarts: 0, resume: false };
  const names = { id, app: "a", name: id, region: "iad", version: "1", address: "127.0.0.1" };
  return { ...names, ...times, ...rest, state: "started", config };
}

async function tcpPort(onConnect: () => void = () => undefined): Promise<number> {
  const server: Server = createServer((socket) => {
    onConnect();
    socket.on("error", () => undefined);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function httpPort(answer: (request: Request) => Response): number {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  servers.push({ close: () => void server.stop(true) });
  return server.port ?? 0;
}

test("TCP and HTTP checks pass or say what is wrong, and are done again when it is time", async () => {
  let nowMs = 0;
  let healthy = true;
  const port = httpPort(({ method, url }) =>
    healthy && method === "HEAD" && url.endsWith("/up")
      ? new Response()
      : new Response("", { status: 503 }),
  );
  const record = machine({
    checks: {
      tcp: { type: "tcp", port: await tcpPort() },
      closed: { type: "tcp", port: 1 },
      http: { type: "http", port, path: "/up", method: "head", interval: "5s" },
    },
  });
  const prober = new HealthProber(() => nowMs);
  const statuses = () => prober.views(record).map(({ status }) => status);
  expect(statuses()).toEqual(["critical", "critical", "critical"]);
  prober.poll([record]);
  await eventually(() => statuses().join() === "passing,critical,passing");
  healthy = false;
  prober.poll([record]);
  nowMs = 5_000;
  prober.poll([record]);
  await eventually(() => prober.views(record)[2]?.output === "status 503");
  // A new version, and a machine that stopped, begin anew.
  expect(prober.views({ ...record, version: "2" })[0]?.status).toBe("critical");
  prober.poll([]);
  expect(statuses()[0]).toBe("critical");
});

test("so many are done at once, and none twice at the same time", async () => {
  let connections = 0;
  const port = await tcpPort(() => {
    connections += 1;
  });
  const records = Array.from({ length: localLimits.checksAtOnceMax + 5 }, (_, at) =>
    machine({ checks: { tcp: { type: "tcp", port } } }, `m${at}`),
  );
  const alone = new HealthProber(() => 0);
  for (const _ of [1, 2, 3]) alone.poll(records.slice(0, 1));
  await eventually(() => alone.views(records[0] ?? machine({}))[0]?.status === "passing");
  expect(connections).toBe(1);
  connections = 0;
  const prober = new HealthProber(() => 0);
  prober.poll(records);
  await eventually(() => connections === localLimits.checksAtOnceMax);
  const passing = () =>
    records.filter((each) => prober.views(each)[0]?.status === "passing").length;
  await eventually(() => passing() === localLimits.checksAtOnceMax);
  prober.poll(records);
  await eventually(() => passing() === records.length);
});

test("an answer that does not come in time is a failure", async () => {
  const port = httpPort(() => new Response(new ReadableStream()));
  const hanging = await tcpPort();
  const check = { type: "http", path: "/", timeout: `${localLimits.checkMsMin}ms` };
  const record = machine({
    services: [{ internal_port: hanging, checks: [check] }],
    checks: { early: { ...check, port } },
  });
  const prober = new HealthProber(() => 0);
  prober.poll([record]);
  await eventually(() => prober.views(record).at(1)?.output.includes("timed out") === true);
  expect(prober.views(record).map(({ name }) => name)).toEqual([
    "early",
    `servicecheck-00-http-${hanging}`,
  ]);
});
