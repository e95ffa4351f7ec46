import { expect, test } from "bun:test";
import { join } from "node:path";
import { ConnectionClosed } from "../../src/quic/connection.ts";
import { runChild } from "../support/run-child.ts";
import { loopback, openClient, openPair, openServer } from "./pair.ts";

test("a stream carries bytes both ways and each half ends by itself", async () => {
  await using pair = await openPair();
  const here = await pair.near.openStream();
  await here.write(Buffer.from("to the server"));
  await here.end();
  const there = await pair.far.acceptStream();
  expect(Buffer.from((await there?.read()) ?? []).toString()).toBe("to the server");
  expect(await there?.read()).toBeNull();
  await there?.write(Buffer.from("and back"));
  expect(Buffer.from((await here.read()) ?? []).toString()).toBe("and back");
  await there?.end();
  expect(await here.read()).toBeNull();
});

test("both ends derive the same channel binding and see the same certificate", async () => {
  await using pair = await openPair();
  await using other = await openPair();
  const { near, far } = pair;
  expect(near.channelBinding).toHaveLength(32);
  expect(near.channelBinding).toEqual(far.channelBinding);
  expect(near.serverCertificate).toEqual(far.serverCertificate);
  expect(near.serverCertificateCount).toBe(1);
  expect(near.alpn).toBe("fly-vault/1");
  expect(other.near.channelBinding).not.toEqual(near.channelBinding);
});

test("closing tells the peer the code and the reason", async () => {
  await using pair = await openPair();
  const waiting = pair.far.acceptStream();
  pair.near.close(3, "enough");
  expect(await pair.near.closed).toEqual({ kind: "local", code: 3, reason: "enough" });
  const seen = { kind: "peer-application", code: 3, reason: "enough" } as const;
  expect(await pair.far.closed).toEqual(seen);
  expect(await waiting).toBeNull();
  expect(pair.far.openStream()).rejects.toEqual(new ConnectionClosed(seen));
});

test("a peer that does not answer ends in a handshake timeout", async () => {
  const client = await openClient();
  const silent = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0, socket: {} });
  const address = { host: "127.0.0.1", port: silent.port };
  const failure = client.connect(address, { timeoutMs: 300 });
  expect(failure).rejects.toEqual(new ConnectionClosed({ kind: "handshake-timeout" }));
  await failure.catch(() => undefined);
  await client.close();
  silent.close();
});

test("a closed server ends accept and its connections", async () => {
  const server = await openServer();
  const client = await openClient();
  const [near] = await Promise.all([client.connect(server.address), server.accept()]);
  const accepting = server.accept();
  await server.close();
  expect(await accepting).toBeNull();
  expect(await near.closed).toMatchObject({ kind: "peer-application", code: 5 });
  await client.close();
  expect(loopback.port).toBe(0);
});

test("IPv6 and the wildcard address work", async () => {
  await using six = await openPair({
    server: { bind: { host: "::1", port: 0 } },
    client: { bind: { host: "::", port: 0 } },
  });
  expect(six.near.remoteAddress.host).toBe("::1");
  await using any = await openPair({
    server: { bind: { host: "::", port: 0 } },
    through: async (server) => ({ host: "127.0.0.1", port: server.port }),
  });
  expect(any.far.remoteAddress.host).toBe("::ffff:127.0.0.1");
});

test("1000 connections closed as soon as they are made: all end, descriptors stay few", async () => {
  const printed = JSON.parse(await runChild(join(import.meta.dir, "churn.child.ts"))) as {
    ends: string[];
    mostDescriptors: number;
  };
  expect(printed.ends.map((end) => JSON.parse(end) as unknown)).toEqual([
    { kind: "peer-application", code: 0, reason: "at once" },
  ]);
  expect(printed.mostDescriptors).toBeLessThan(700);
}, 120_000);
