import { expect, test } from "bun:test";
import { hintBytes, openHint } from "../../../../src/quic/admission-hint.ts";
import { encodeDoorFrame, decodeDoorFrame } from "../../../../src/roles/proxy/door-frame.ts";
import { freePort } from "../../../support/free-port.ts";
import { admission, bareDatagram, cookie, keyOf, SocketStage } from "../socket-stage.ts";

/** A relay in its own process, real sockets on both sides, and the test as its broker. */

const machineId = "148e21ea7e46e8";

test.concurrent(
  "an admission reaches the machine with its header, and the answer the client",
  async () => {
    const backendPort = freePort();
    await using stage = SocketStage.start({ backendPort });
    const machine = await stage.machine(machineId, "127.9.0.1", backendPort);
    const client = await stage.peer("127.0.0.1");
    const proxy = await stage.address();

    const first = admission(machineId, 1);
    client.send(first, proxy);
    const arrived = await machine.next();
    expect(arrived.bytes).toEqual(first);
    expect(arrived.port).not.toBe(client.port);

    machine.send(new Uint8Array([0xc1, 2, 3]), arrived);
    const answer = await client.next();
    expect(answer.bytes).toEqual(new Uint8Array([0xc1, 2, 3]));
    expect({ host: answer.host, port: answer.port }).toEqual(proxy);

    const bare = bareDatagram(machineId, 60);
    client.send(bare, proxy);
    const second = await machine.next();
    expect(second.bytes).toEqual(bare);
    expect(second.port).toBe(arrived.port);
  },
);

test.concurrent(
  "a bare datagram with an id of the machine opens a flow, each address one of its own",
  async () => {
    const backendPort = freePort();
    await using stage = SocketStage.start({
      backendPort,
      listen: [
        { host: "127.0.0.1", port: 0 },
        { host: "::1", port: 0 },
      ],
    });
    const machine = await stage.machine(machineId, "127.9.0.2", backendPort);
    const ports = new Set<number>();
    for (const [host, index] of [
      ["127.0.0.1", 0],
      ["127.0.0.2", 0],
      ["::1", 1],
      ["::1", 1],
    ] as const) {
      const client = await stage.peer(host);
      client.send(bareDatagram(machineId, 40), await stage.address(index));
      const arrived = await machine.next();
      ports.add(arrived.port);
      machine.send(new Uint8Array(33).fill(7), arrived);
      expect((await client.next()).bytes).toEqual(new Uint8Array(33).fill(7));
    }
    expect(ports.size).toBe(4);
  },
);

test.concurrent(
  "a stopped machine is asked for; what waits reaches it when it has started",
  async () => {
    const backendPort = freePort();
    await using stage = SocketStage.start({ backendPort });
    stage.learn({ kind: "machine", machineId, state: "stopped", address: undefined });
    const client = await stage.peer("127.0.0.1");
    const first = admission(machineId, 1);
    client.send(first, await stage.address());
    const hint = await client.next();
    expect(hint.bytes.byteLength).toBe(hintBytes);
    expect(openHint(keyOf(machineId), hint.bytes)?.state).toBe("starting");
    expect(await stage.request()).toEqual({ kind: "start", machineId });
    const machine = await stage.machine(machineId, "127.9.0.3", backendPort);
    expect((await machine.next()).bytes).toEqual(first);
  },
);

test.concurrent("the door takes datagrams of the web process, and nobody else's", async () => {
  const backendPort = freePort();
  await using stage = SocketStage.start({ backendPort });
  const machine = await stage.machine(machineId, "127.9.0.4", backendPort);
  const web = await stage.peer("127.0.0.1");
  const { doorPort } = await stage.listening();
  const door = { host: "127.0.0.1", port: doorPort };
  const frame = { connection: 77, address: "203.0.113.9" };
  const datagram = bareDatagram(machineId, 50);
  web.send(
    encodeDoorFrame(new Uint8Array(8), { ...frame, datagram: bareDatagram(machineId, 51) }),
    door,
  );
  web.send(encodeDoorFrame(cookie, { ...frame, datagram }), door);
  const arrived = await machine.next();
  expect(arrived.bytes).toEqual(datagram);
  machine.send(new Uint8Array(20).fill(3), arrived);
  const answer = await web.next();
  expect(decodeDoorFrame(cookie, answer.bytes)).toEqual({
    ...frame,
    datagram: new Uint8Array(20).fill(3),
  });

  web.send(encodeDoorFrame(cookie, { ...frame, datagram: new Uint8Array(0) }), door);
  const { counters, drops } = await stage.metrics(
    (metrics) => metrics.gauges["sockets"] === 0 && metrics.counters["flows_closed_total"] === 1,
  );
  expect(drops["door"]).toBe(1);
  expect(counters["flows_opened_total"]).toBe(1);
});

test.concurrent("a relay does not end by signals, but with its broker's pipe", async () => {
  await using stage = SocketStage.start();
  await stage.listening();
  stage.child.kill("SIGTERM");
  stage.child.kill("SIGINT");
  await stage.metrics(() => true);
  stage.leave();
  expect(await stage.child.exited).toBe(0);
});
