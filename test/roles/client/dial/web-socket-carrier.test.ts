import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { SendBatch } from "../../../../src/quic/send-batch.ts";
import { selfSignedCertificate } from "../../../../src/quic/certificate.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import {
  webBind,
  webPeer,
  webSocketCarrier,
  WebSocketFailed,
} from "../../../../src/roles/client/dial/web-socket-carrier.ts";
import { openClient, openServer } from "../../../quic/pair.ts";
import { receiveAll, sendNoise } from "../../../quic/transfer.ts";
import { byteStreamContract, type StreamPair } from "../../../support/byte-stream-contract.ts";
import { freePort } from "../../../support/free-port.ts";
import { until } from "../../../support/link-stage.ts";
import { rejection } from "../../../support/rejection.ts";
import { seed } from "../../../support/seed.ts";
import { WebBridge } from "../../../support/web-bridge.ts";

/** QUIC over a WebSocket to a bridge, and the carrier by itself. */

const server = await openServer();
const bridge = new WebBridge(server.address);
let cut = Promise.withResolvers<void>();
const client = await openClient({
  bind: webBind,
  openCarrier: webSocketCarrier({ url: bridge.url, onCut: () => cut.resolve() }),
});
const near = await client.connect(webPeer);
const far = (await server.accept())!;

afterAll(async () => {
  await client.close();
  await bridge[Symbol.asyncDispose]();
  await server.close();
});

byteStreamContract("a QUIC stream over a WebSocket", openStreams, {
  bufferBytesMax: 32 * 1024 * 1024,
  abortReadsAs: "code",
});

/** The peer learns of a stream by its first byte. */
async function openStreams(): Promise<StreamPair> {
  const stream = await near.openStream();
  await stream.write(Uint8Array.of(0));
  const other = (await far.acceptStream())!;
  await other.read();
  return { near: stream, far: other };
}

async function transfer(totalBytes: number, midway: () => Promise<void>): Promise<void> {
  const streams = await openStreams();
  let seen = 0;
  let done: Promise<void> | undefined;
  const [hash, received] = await Promise.all([
    sendNoise(streams.near, totalBytes, seed),
    receiveAll(streams.far, ({ length }) => {
      seen += length;
      if (seen > totalBytes / 2) done ??= midway();
    }),
  ]);
  await done;
  expect(received).toEqual({ hash, totalBytes });
}

test("another WebSocket in the middle of a transfer costs no byte, and the old one is gone", async () => {
  const before = bridge.opened;
  cut = Promise.withResolvers();
  await transfer(6_000_000, () => client.rebind());
  expect(bridge.opened).toBe(before + 1);
  await until(() => bridge.connectionCount === 1);
  expect(Bun.peek.status(cut.promise)).toBe("pending");
});

test("a WebSocket that breaks is told once, and the connection goes on from the next one", async () => {
  cut = Promise.withResolvers();
  bridge.closeAll(1012);
  await cut.promise;
  await client.rebind();
  await transfer(100_000, () => Promise.resolve());
  await until(() => bridge.connectionCount === 1);
});

describe("the carrier by itself", () => {
  let deaf: ReturnType<typeof listenDeaf>;
  beforeAll(() => {
    deaf = listenDeaf();
  });
  afterAll(() => {
    deaf.stop(true);
  });

  test("with a network that takes nothing there soon is no room, and it can be closed", async () => {
    const open = webSocketCarrier({
      url: `ws://127.0.0.1:${deaf.port}/v1/datagrams`,
      onCut: () => undefined,
    });
    const carrier = await open(webBind, () => undefined);
    const batch = new SendBatch();
    batch.load(new Uint8Array(1200), webPeer.host, webPeer.port);
    // The kernel's own buffers come first.
    let sent = 0;
    while (carrier.send(batch) && sent < 100_000) sent += 1;
    expect(sent).toBeGreaterThan(clientLimits.webBufferedBytesMax / 1200);
    expect(sent).toBeLessThan(100_000);
    carrier.close();
    // What is offered to a closed one is lost, as anywhere on the way.
    expect(carrier.send(batch)).toBe(true);
  });

  test.each([
    ["nobody listens", () => `ws://127.0.0.1:${freePort()}/v1/datagrams`, "Failed to connect"],
    ["it is no proxy", () => `ws://127.0.0.1:${deaf.port}/404`, "Expected 101 status code: 404"],
  ])("%s: an error with the reason and no address", async (_, url, reason) => {
    const open = webSocketCarrier({ url: url(), onCut: () => undefined });
    const error = await rejection(open(webBind, () => undefined));
    expect(error).toEqual(new WebSocketFailed(reason));
  });

  test("TLS is checked as a browser would: nobody vouches for this certificate", async () => {
    const { certificatePem, privateKeyPem } = selfSignedCertificate();
    const upgraded: string[] = [];
    const secure = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: certificatePem, key: privateKeyPem },
      fetch: ({ url }) => {
        upgraded.push(url);
        return new Response("reached");
      },
    });
    const url = `wss://127.0.0.1:${secure.port}/v1/datagrams`;
    const open = webSocketCarrier({ url, onCut: () => undefined });
    const error = await rejection(open(webBind, () => undefined));
    await secure.stop(true);
    expect(error).toBeInstanceOf(WebSocketFailed);
    expect(String(error)).toContain("TLS");
    expect(upgraded).toEqual([]);
  });

  test("what is still being opened can be given up, later and before", async () => {
    const over = new AbortController();
    const url = `ws://127.0.0.1:${deaf.port}/silent`;
    const open = webSocketCarrier({ url, signal: over.signal, onCut: () => undefined });
    const opening = rejection(open(webBind, () => undefined));
    over.abort();
    expect(await opening).toEqual(new WebSocketFailed("given up"));
    expect(await rejection(open(webBind, () => undefined))).toBeInstanceOf(WebSocketFailed);
  });

  test("words are no datagrams, nor is what no datagram can be as large as", async () => {
    const received: number[] = [];
    const arrived = Promise.withResolvers<void>();
    const open = webSocketCarrier({
      url: `ws://127.0.0.1:${deaf.port}/words`,
      onCut: () => arrived.resolve(),
    });
    const carrier = await open(webBind, ({ length }, port, host) => {
      expect({ host, port }).toEqual(webPeer);
      received.push(length);
    });
    await arrived.promise;
    expect(received).toEqual([3]);
    carrier.close();
  });
});

/** A server that reads requests by hand: one path a socket that is never read again, one that never answers. */
function listenDeaf() {
  return Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, bytes) => {
        const request = new TextDecoder().decode(bytes);
        if (request.startsWith("GET /silent ")) return;
        const key = /sec-websocket-key: (\S+)/i.exec(request)?.[1] ?? "";
        if (request.startsWith("GET /404 ")) {
          socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        } else if (key !== "") {
          socket.write(switching(key));
          if (request.startsWith("GET /words ")) {
            // A text message "ab", binary ones of 16 385 and 3 bytes, and a close.
            socket.write(Uint8Array.of(0x81, 2, 97, 98, 0x82, 126, 0x40, 1));
            socket.write(new Uint8Array(16_385));
            socket.write(Uint8Array.of(0x82, 3, 1, 2, 3, 0x88, 0));
          } else {
            socket.pause();
          }
        }
      },
    },
  });
}

function switching(key: string): string {
  const accept = createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
}
