import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ptr } from "bun:ffi";
import { closeSocket, openDatagramSocket } from "../../../src/system/datagram-socket.ts";
import { SendVector } from "../../../src/system/send-vector.ts";
import { freePort } from "../../support/free-port.ts";
import { targetAt } from "../../system/datagram-stage.ts";
import { admission, bareDatagram, SocketStage } from "./socket-stage.ts";

/** What a relay does when there is too little of something, or too much. */

const machineId = "148e21ea7e46e8";

test.concurrent("the kernel drops what can be nothing, before it costs anything", async () => {
  const backendPort = freePort();
  await using stage = SocketStage.start({ backendPort });
  const machine = await stage.machine(machineId, "127.9.1.1", backendPort);
  const proxy = await stage.address();
  const client = await stage.peer("127.0.0.1");
  const junk = [
    new Uint8Array(1200),
    new Uint8Array(1300).fill(0x0a),
    admission(machineId, 1).subarray(0, 1227),
    bareDatagram(machineId, 40).subarray(0, 20),
    new Uint8Array(1).fill(0x40),
  ];
  for (const bytes of junk) client.send(bytes, proxy);
  for (const good of [bareDatagram(machineId, 22), admission(machineId, 2)]) {
    client.send(good, proxy);
    expect((await machine.next()).bytes).toEqual(good);
  }
  const { counters } = await stage.metrics(
    (metrics) => (metrics.counters["datagrams_to_machines_total"] ?? 0) >= 2,
  );
  expect(counters["datagrams_from_clients_total"]).toBe(2);
});

test.concurrent("datagrams that come joined are judged one by one", async () => {
  const backendPort = freePort();
  await using stage = SocketStage.start({ backendPort });
  const machine = await stage.machine(machineId, "127.9.1.2", backendPort);
  const { port } = await stage.address();
  const joined = new Uint8Array(new ArrayBuffer(3500));
  const parts = [new Uint8Array(1000), 1, 2, 3].map((part) =>
    typeof part === "number" ? bareDatagram(machineId, part === 3 ? 500 : 1000, part) : part,
  );
  for (const [index, part] of parts.entries()) joined.set(part, index * 1000);
  const sender = openDatagramSocket(4);
  const vector = new SendVector(() => undefined);
  vector.add(targetAt(port), ptr(joined), joined.byteLength, 1000);
  expect(vector.flush(sender)).toBe(true);
  for (const part of parts.slice(1)) expect((await machine.next()).bytes).toEqual(part);
  closeSocket(sender);
  const { drops } = await stage.metrics(
    ({ counters }) => counters["datagrams_from_clients_total"] === 4,
  );
  expect(drops["no-quic"]).toBe(1);
});

test.concurrent(
  "without a descriptor for one more, those who have a flow keep it, and others get one later",
  async () => {
    const backendPort = freePort();
    await using stage = SocketStage.start(
      { backendPort, sessionTimeoutMs: 5000 },
      // What root may raise again is no limit.
      { prefix: ["setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=64:64"] },
    );
    const machines = ["148e21ea7e4700", "148e21ea7e4701", "148e21ea7e4702", "148e21ea7e4703"];
    const machine = await stage.peer("127.9.1.3", backendPort);
    for (const id of machines)
      stage.learn({ kind: "machine", machineId: id, state: "started", address: "127.9.1.3" });
    stage.learn({ kind: "synced" });
    await stage.metrics(({ gauges }) => gauges["machines"] === machines.length);
    const proxy = await stage.address();
    const first = await stage.peer("127.0.0.1");
    first.send(bareDatagram(machineId.replace("46e8", "4700"), 50), proxy);
    const { port: firstPort } = await machine.next();
    // Its flow lasts as long as it is heard, however long the others take.
    const heard = setInterval(() => first.send(bareDatagram("148e21ea7e4700", 51), proxy), 100);
    try {
      for (const [index, id] of machines.entries())
        for (let count = 1; count <= 15; count++) {
          const client = await stage.peer(`127.0.${index}.${count}`);
          client.send(bareDatagram(id, 60), proxy);
        }
      const { gauges } = await stage.metrics(({ drops }) => (drops["descriptors"] ?? 0) > 0);
      expect(gauges["sockets"]).toBeLessThan(61);
      expect(gauges["sockets"]).toBe(gauges["flows"] ?? 0);
    } finally {
      clearInterval(heard);
    }
    while (machine.waiting > 0) await machine.next();
    first.send(bareDatagram(machineId.replace("46e8", "4700"), 70), proxy);
    let arrived = await machine.next();
    while (arrived.bytes.byteLength !== 70) arrived = await machine.next();
    expect(arrived.port).toBe(firstPort);
    // Those that end give their descriptors back.
    await stage.metrics((metrics) => metrics.gauges["sockets"] === 0);
    const late = await stage.peer("127.0.0.1");
    late.send(bareDatagram("148e21ea7e4702", 80), proxy);
    while (arrived.bytes.byteLength !== 80) arrived = await machine.next();
  },
);

test.concurrent("a relay that may not have large buffers says so and goes on", async () => {
  await using stage = SocketStage.start({}, { prefix: ["setpriv", "--bounding-set=-net_admin"] });
  await stage.metrics(() => true);
  stage.leave();
  expect(await stage.child.exited).toBe(0);
  expect(await stage.log).toContain('"event":"small-buffers"');
  await using mighty = SocketStage.start();
  await mighty.metrics(() => true);
  mighty.leave();
  expect(await mighty.log).not.toContain("small-buffers");
});

test.concurrent("a machine whose port is closed for a while costs the flow nothing", async () => {
  const backendPort = freePort();
  await using stage = SocketStage.start({ backendPort });
  const machine = await stage.machine(machineId, "127.9.1.4", backendPort);
  const proxy = await stage.address();
  const client = await stage.peer("127.0.0.1");
  client.send(bareDatagram(machineId, 50), proxy);
  const { port } = await machine.next();
  machine.close();
  for (let length = 51; length < 54; length++) client.send(bareDatagram(machineId, length), proxy);
  await stage.metrics(({ counters }) => counters["datagrams_from_clients_total"] === 4);
  const again = await stage.peer("127.9.1.4", backendPort);
  client.send(bareDatagram(machineId, 60), proxy);
  const arrived = await again.next();
  expect([arrived.port, arrived.bytes.byteLength]).toEqual([port, 60]);
});

test.concurrent(
  "a port that another has is no port to share, and a line that is no secret no secret",
  async () => {
    await using one = SocketStage.start();
    const { port } = await one.address();
    await using other = SocketStage.start({ listen: [{ host: "127.0.0.1", port }] });
    expect(await other.report()).toEqual({
      kind: "failed",
      message: `bind 127.0.0.1:${port}: EADDRINUSE`,
    });
    expect(await other.child.exited).toBe(1);
    await using third = SocketStage.start({}, { secrets: '{"doorCookie":1}\n' });
    expect(await third.report()).toMatchObject({ kind: "failed" });
  },
);

test.concurrent("a relay whose parent is gone before it began does not begin", async () => {
  await using stage = SocketStage.start({ brokerPid: 1 });
  expect(await stage.child.exited).toBe(0);
});

test.concurrent("an idle relay sleeps", async () => {
  await using stage = SocketStage.start();
  await stage.listening();
  const cpuMs = (): number => {
    const fields = readFileSync(`/proc/${stage.child.pid}/stat`, "latin1").split(") ")[1] ?? "";
    const [user = 0, system = 0] = fields.split(" ").slice(11, 13).map(Number);
    return 10 * (user + system);
  };
  const before = await stage.metrics(() => true);
  const beforeMs = cpuMs();
  const after = await stage.metrics(() => true);
  expect((after.counters["turns_total"] ?? 0) - (before.counters["turns_total"] ?? 0)).toBeLessThan(
    50,
  );
  expect(cpuMs() - beforeMs).toBeLessThan(200);
});

test.concurrent("what was lost is a line a second for each cause", async () => {
  await using stage = SocketStage.start();
  const proxy = await stage.address();
  const client = await stage.peer("127.0.0.1");
  stage.learn({ kind: "synced" });
  await stage.metrics(({ gauges }) => gauges["synced"] === 1);
  for (let count = 0; count < 200; count++) client.send(bareDatagram(machineId, 50), proxy);
  await stage.metrics(({ drops }) => drops["bad-id"] === 200);
  stage.leave();
  const lines = (await stage.log)
    .trim()
    .split("\n")
    .map((line): unknown => JSON.parse(line));
  const drops = lines.filter((line) => Bun.inspect(line).includes("bad-id"));
  expect(drops.length).toBeLessThanOrEqual(2);
  expect(drops[0]).toMatchObject({ event: "dropped", cause: "bad-id" });
});
