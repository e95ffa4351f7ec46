import { expect, test } from "bun:test";
import { connectUdp, listenUdp } from "../../src/system/udp-socket.ts";
import { rejection } from "../support/rejection.ts";

test.each(["127.0.0.1", "::1"])("a question and its answer over %s", async (host) => {
  const server = await listenUdp({ host, port: 0 }, (socket, bytes, port, from) => {
    socket.send(bytes, port, from);
  });
  const { promise, resolve } = Promise.withResolvers<number[]>();
  const client = await connectUdp({ host, port: server.port }, (_, bytes) => resolve([...bytes]));
  client.send(Uint8Array.of(1, 2));
  expect(await promise).toEqual([1, 2]);
  client.close();
  server.close();
});

test("a port in use, and an address that is not ours, are socket errors", async () => {
  const first = await listenUdp({ host: "127.0.0.1", port: 0 }, () => undefined);
  const again = listenUdp({ host: "127.0.0.1", port: first.port }, () => undefined);
  expect(await rejection(again)).toMatchObject({ name: "SocketError", code: "EADDRINUSE" });
  const foreign = listenUdp({ host: "203.0.113.7", port: 0 }, () => undefined);
  expect(await rejection(foreign)).toMatchObject({ name: "SocketError", code: "EADDRNOTAVAIL" });
  first.close();
});

test("a refused datagram ends nothing", async () => {
  const probe = await listenUdp({ host: "127.0.0.1", port: 0 }, () => undefined);
  const { port } = probe;
  probe.close();
  const client = await connectUdp({ host: "127.0.0.1", port }, () => undefined);
  for (let i = 0; i < 3; i++) {
    client.send(Uint8Array.of(1));
    await Bun.sleep(5);
  }
  expect(client.closed).toBe(false);
  client.close();
});
