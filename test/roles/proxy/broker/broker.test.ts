import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { Broker } from "../../../../src/roles/proxy/broker/broker.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { readOptions } from "../../../../src/roles/proxy/broker/options.ts";
import type { LogFields } from "../../../../src/system/log.ts";
import { noProxyFlags } from "../no-proxy-flags.ts";
import { type StandIn, StandIns, until } from "../stand-ins.ts";

setDefaultTimeout(120_000);

/** The broker with an API made up here, and stand-ins for the two processes that it minds. */
const limitsBefore = { ...brokerLimits };
const id = "148e21ea7e46e8";
const token = "secret-token";
const masters = "fvp1_1_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s";
const anywhere = { host: "127.0.0.1", port: 0 };

let standIns: StandIns;
let lines: (LogFields & { readonly event: string })[];
let broker: Broker;
let api: ReturnType<typeof Bun.serve>;
let machines: Record<string, unknown>[];
let isApiDown: boolean;
/** So long that what a test learns comes of what it asks for. */
const refreshIntervalMs = 60_000;

beforeEach(() => {
  standIns = new StandIns();
  lines = [];
  machines = [{ id, state: "stopped", private_ip: "fdaa::1" }];
  isApiDown = false;
  // Stand-ins report once: nobody is to be killed because a test takes its time.
  Object.assign(brokerLimits, { tickMs: 50, childListenMs: 60_000, childSilentMs: 60_000 });
  api = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  broker = makeBroker();
});

afterEach(async () => {
  await broker.kill();
  await api.stop(true);
  standIns.close();
  Object.assign(brokerLimits, limitsBefore);
});

function answer(request: Request): Response {
  if (request.headers.get("authorization") !== `Bearer ${token}` || isApiDown)
    return Response.json({ error: "down" }, { status: 401 });
  const { pathname } = new URL(request.url);
  const [machine] = machines;
  if (pathname.endsWith("/start")) {
    if (machine !== undefined) machine["state"] = "started";
    return Response.json({ previous_state: "stopped" });
  }
  if (pathname.endsWith("/wait")) return Response.json({ ok: true });
  if (pathname.endsWith("/machines")) return Response.json(machines);
  if (machine !== undefined && pathname.endsWith(id)) return Response.json(machine);
  return Response.json({ error: "none" }, { status: 404 });
}

function makeBroker(refreshMs = refreshIntervalMs): Broker {
  const flags = { app: "app-a", "api-base": `http://127.0.0.1:${api.port}` };
  const plan = { brokerPid: process.pid, logLevel: "info" } as const;
  return new Broker({
    options: {
      ...readOptions({ ...noProxyFlags, ...flags }, {}),
      refreshIntervalMs: refreshMs,
    },
    relayPlan: {
      ...plan,
      listen: [anywhere],
      backendPort: 8443,
      sessionTimeoutMs: 180_000,
      open: false,
      machineBitsPerSecond: 1_000_000,
    },
    webPlan: { ...plan, metrics: anywhere, trustClientIp: false },
    secrets: { token, masters },
    program: standIns.program,
    doorCookie: "0123456789abcdef",
    log: (_level, event, fields) => {
      lines.push({ event, ...fields });
    },
  });
}

/** Started, and both of its processes at work. */
async function startAll(): Promise<{ relay: StandIn; web: StandIn }> {
  broker.start();
  const relay = await standIns.next("relay");
  relay.report({ kind: "listening", addresses: [anywhere], doorPort: 4711 });
  const web = await standIns.next("web");
  web.report({ kind: "listening", metrics: anywhere });
  return { relay, web };
}

async function untilTold(relay: StandIn, count: number): Promise<unknown[]> {
  await until(() => (relay.records.length >= count ? true : undefined), `${count} records`);
  return relay.records;
}

async function untilLogged(event: string): Promise<LogFields> {
  return until(() => lines.find((line) => line.event === event), event);
}

async function untilShown(web: StandIn, text: string): Promise<void> {
  const shows = (): true | undefined =>
    web.orders.some((order) => order.kind === "metrics" && order.text.includes(text)) || undefined;
  await until(shows, `${text} in the metrics`);
}

async function untilHealth(web: StandIn, why: string): Promise<void> {
  const says = (): true | undefined =>
    web.orders.findLast((order) => order.kind === "health")?.why === why || undefined;
  await until(says, why);
}

test("the relay gets the key and the machines, the web process neither, and no one the token", async () => {
  process.env["FLY_API_TOKEN"] = token;
  try {
    const { relay, web } = await startAll();
    expect(await untilTold(relay, 2)).toEqual([
      { kind: "machine", machineId: id, state: "stopped", address: "fdaa::1" },
      { kind: "synced" },
    ]);
    const secrets = { masters, doorCookie: "0123456789abcdef" };
    expect(relay.heard.find((each) => each.kind === "secrets")).toEqual({
      kind: "secrets",
      text: `${JSON.stringify(secrets)}\n`,
    });
    await untilShown(web, "vault_proxy_process_up");
    expect(JSON.stringify(web.heard)).not.toContain(masters);
    expect(JSON.stringify(web.orders[0])).toBe('{"doorCookie":"0123456789abcdef"}');
    for (const child of [relay, web]) {
      expect(JSON.stringify(child.heard)).not.toContain(token);
      expect(Object.keys((await child.started()).env)).not.toContain("FLY_API_TOKEN");
    }
  } finally {
    delete process.env["FLY_API_TOKEN"];
  }
});

test("a relay that asks for a start hears how it goes, and where the machine is", async () => {
  const { relay, web } = await startAll();
  await untilTold(relay, 2);
  relay.request({ kind: "start", machineId: id });
  expect((await untilTold(relay, 4)).slice(2)).toEqual([
    { kind: "start", machineId: id, outcome: "starting", retryS: 0 },
    { kind: "machine", machineId: id, state: "started", address: "fdaa::1" },
  ]);
  relay.request({ kind: "lookup", machineId: "148e21ea7e46e9" });
  expect((await untilTold(relay, 5))[4]).toEqual({ kind: "gone", machineId: "148e21ea7e46e9" });
  await untilShown(web, 'vault_proxy_starts_total{outcome="started"} 1');
  await untilShown(web, 'vault_proxy_api_calls_total{call="start",outcome="ok"} 1');
  await untilShown(web, 'vault_proxy_machines{state="started"} 1');
});

test("a relay that was killed has a successor that knows all the last one did", async () => {
  const { relay, web } = await startAll();
  await untilTold(relay, 2);
  await relay.kill();
  const { lived_ms: _, ...ended } = await untilLogged("relay-ended");
  expect(ended).toEqual({ event: "relay-ended", signal: "SIGKILL" });
  const next = await standIns.next("relay");
  expect((await untilTold(next, 2)).map((record) => (record as { kind: string }).kind)).toEqual([
    "machine",
    "synced",
  ]);
  next.report({ kind: "listening", addresses: [anywhere], doorPort: 4712 });
  const hasDoor = () =>
    web.orders.some((order) => order.kind === "door" && order.port === 4712) || undefined;
  await until(hasDoor, "the new door");
  await untilShown(web, 'vault_proxy_process_restarts_total{process="relay"} 1');
});

test.each([
  ["a request of no kind", (relay: StandIn) => relay.say(5, new Uint8Array(16).fill(9))],
  ["a report that is none", (relay: StandIn) => relay.say(6, "no JSON\n")],
  ["a report of no kind", (relay: StandIn) => relay.say(6, '{"kind":"joy"}\n')],
  ["a line without an end", (relay: StandIn) => relay.say(6, "x".repeat(70_000))],
])("%s ends the relay, and nothing but the relay", async (_name, misbehave) => {
  const { relay, web } = await startAll();
  misbehave(relay);
  await relay.end();
  expect((await untilLogged("relay-ended"))["signal"]).toBe("SIGKILL");
  await standIns.next("relay");
  expect(web.ended).toBe(false);
});

test("a web process that says what makes no sense is started again; it hears of the door", async () => {
  const { web } = await startAll();
  web.say(1, "<html>\n");
  await web.end();
  const next = await standIns.next("web");
  const hasDoor = () => next.orders.some((order) => order.kind === "door") || undefined;
  await until(hasDoor, "the door");
});

test("a relay that stands still is killed", async () => {
  Object.assign(brokerLimits, { childSilentMs: 200 });
  const { relay } = await startAll();
  await relay.end();
  expect((await untilLogged("relay-ended"))["because"]).toBe("nothing heard of it for 200 ms");
});

test("a relay that never says that it listens is killed", async () => {
  // The stand-in needs some of it for its start.
  Object.assign(brokerLimits, { childListenMs: 3000 });
  broker.start();
  const relay = await standIns.next("relay");
  await relay.end();
  expect((await untilLogged("relay-ended"))["because"]).toBe("nothing heard of it for 3000 ms");
});

test("a relay that can never listen is given up, with what it says of it", async () => {
  Object.assign(brokerLimits, { relayFirstTriesMax: 2 });
  broker = makeBroker();
  broker.start();
  for (let run = 0; run < 2; run++) {
    const relay = await standIns.next("relay");
    // Left before it has said so much, it would be reset instead of obeying.
    await until(() => relay.heard.find(({ kind }) => kind === "secrets"), "the secrets");
    relay.report({ kind: "failed", message: "EADDRINUSE" });
    relay.leave();
  }
  expect((await broker.hopeless)["because"]).toBe("EADDRINUSE");
});

test("what a process reports is shown, and counts on after its end", async () => {
  const { relay, web } = await startAll();
  relay.report({
    kind: "metrics",
    counters: { hints_total: 3 },
    drops: { "bad-tag": 9 },
    gauges: { flows: 2 },
  });
  await untilShown(web, 'vault_proxy_datagrams_dropped_total{cause="bad-tag"} 9');
  await untilShown(web, "vault_proxy_flows 2");
  await relay.kill();
  await untilShown(web, "vault_proxy_flows 0");
  await untilShown(web, "vault_proxy_hints_total 3");
});

test("health follows relay and directory, and its changes are logged", async () => {
  Object.assign(brokerLimits, { directoryAgeMsMax: 1300 });
  broker = makeBroker(100);
  const { web } = await startAll();
  await untilHealth(web, "ok");
  isApiDown = true;
  await untilHealth(web, "the list of machines is old");
  isApiDown = false;
  await untilHealth(web, "ok");
  expect(lines.filter(({ event }) => event === "directory-not-listed").length).toBe(1);
  expect(lines.filter(({ event }) => event === "health").length).toBeGreaterThan(2);
});

test("drain tells both processes and those started meanwhile; stop ends them", async () => {
  const { relay, web } = await startAll();
  await untilTold(relay, 2);
  broker.drain();
  expect((await untilTold(relay, 3))[2]).toEqual({ kind: "drain" });
  const drains = () => web.orders.some((order) => order.kind === "drain") || undefined;
  await until(drains, "the order to drain");
  await relay.kill();
  const next = await standIns.next("relay");
  expect((await untilTold(next, 3))[2]).toEqual({ kind: "drain" });
  await broker.stop();
  expect(next.heard.at(-1)).toEqual({ kind: "sigterm" });
  await web.end();
});

test("ten thousand requests at once are taken in a little at a time, and harm nobody", async () => {
  const { relay, web } = await startAll();
  await untilTold(relay, 2);
  for (let round = 0; round < 40; round++) {
    const requests = Buffer.alloc(16 * 250, Buffer.from(`00${id}0000000000000000`, "hex"));
    relay.say(5, requests);
  }
  await untilShown(web, 'vault_proxy_lookups_total{outcome="limited"}');
  await untilShown(web, 'vault_proxy_lookups_total{outcome="found"} 1');
  expect(relay.ended).toBe(false);
});
