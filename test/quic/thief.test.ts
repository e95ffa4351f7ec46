import { expect, test } from "bun:test";
import type { DatagramCarrier } from "../../src/quic/carrier.ts";
import type { SocketAddress } from "../../src/quic/connection.ts";
import { SendBatch } from "../../src/quic/send-batch.ts";
import { openUdp } from "../../src/quic/udp-carrier.ts";
import { late, within } from "../../src/system/within.ts";
import { seed } from "../support/seed.ts";
import { UdpRelay } from "../support/udp-relay.ts";
import { openPair, type Pair } from "./pair.ts";
import { exchange } from "./transfer.ts";

/** Somebody who sees the client's datagrams, and whose copies of them arrive first, from elsewhere. */

const messageBytes = 45;
const mebibyte = 1024 * 1024;

test("copies that come first move nothing, and draw at most three times their bytes", async () => {
  await using stage = await openStage({ sockets: 1 });
  const home = stage.pair.far.remoteAddress;
  stage.thief.races = true;
  await exchange(stage.pair, 4 * mebibyte, seed);
  expect(stage.thief.receivedFromServer.length).toBeGreaterThan(0);
  expect(stage.pair.far.remoteAddress).toEqual(home);
  expect(sum(stage.thief.receivedFromServer)).toBeLessThan(3 * stage.thief.sentBytes);
  expect(new Set(stage.thief.receivedFromServer.map((bytes) => bytes.byteLength))).toEqual(
    new Set([messageBytes]),
  );
});

test("a challenge that the thief hands to the client is not answered", async () => {
  await using stage = await openStage({ sockets: 1 });
  const { pair, thief } = stage;
  const home = pair.far.remoteAddress;
  thief.races = true;
  thief.passOn = (datagram, from) => {
    const fromServer = from.port === pair.server.address.port;
    thief.send(datagram, fromServer ? pair.client.address : pair.server.address);
  };
  await exchange(pair, 2 * mebibyte, seed);
  expect(thief.receivedFromServer.length).toBeGreaterThan(0);
  expect(thief.receivedFromClient).toEqual([]);
  expect(pair.far.remoteAddress).toEqual(home);
});

test("copies from ever new addresses do not stop the connection", async () => {
  await using stage = await openStage({ sockets: 40 });
  const { pair, thief } = stage;
  await exchange(pair, 2 * mebibyte, seed);
  thief.races = true;
  expect(await within(exchange(pair, 4 * mebibyte, seed), 30_000)).not.toBe(late);
  expect(thief.receivedFromServer.length).toBeGreaterThan(40);
});

test("forged answers move nothing", async () => {
  await using stage = await openStage({ sockets: 1 });
  const { pair, thief } = stage;
  const home = pair.far.remoteAddress;
  thief.races = true;
  thief.passOn = (challenge) => {
    // The challenge itself, its number with another tag, and noise.
    thief.send(challenge, pair.server.address);
    const other = challenge.slice();
    other[messageBytes - 1] = (other[messageBytes - 1] ?? 0) ^ 1;
    thief.send(other, pair.server.address);
    crypto.getRandomValues(other.subarray(21));
    thief.send(other, pair.server.address);
  };
  await exchange(pair, 2 * mebibyte, seed);
  expect(thief.receivedFromServer.length).toBeGreaterThan(0);
  expect(pair.far.remoteAddress).toEqual(home);
});

test("the client still moves while copies of half its datagrams come first", async () => {
  await using stage = await openStage({ sockets: 3 });
  stage.thief.races = true;
  stage.thief.share = 2;
  const before = stage.pair.far.remoteAddress.port;
  for (let change = 0; change < 5; change++) {
    await stage.relay.rebind();
    await exchange(stage.pair, 100_000, seed);
  }
  expect(stage.pair.far.remoteAddress.port).not.toBe(before);
  expect(stage.thief.ports).not.toContain(stage.pair.far.remoteAddress.port);
}, 120_000);

class Thief {
  races = false;
  /** One datagram in so many. */
  share = 1;
  passOn: (datagram: Uint8Array, from: SocketAddress) => void = () => undefined;
  sentBytes = 0;
  readonly receivedFromServer: Uint8Array[] = [];
  readonly receivedFromClient: Uint8Array[] = [];
  readonly #sockets: DatagramCarrier[] = [];
  readonly #batch = new SendBatch();
  readonly #server: SocketAddress;
  #turn = 0;
  #seen = 0;

  constructor(server: SocketAddress) {
    this.#server = server;
  }

  get ports(): number[] {
    return this.#sockets.map((socket) => socket.address.port);
  }

  async open(sockets: number): Promise<void> {
    for (let count = 0; count < sockets; count++) {
      const receive = (datagram: Uint8Array, port: number, host: string): void => {
        const fromServer = port === this.#server.port;
        (fromServer ? this.receivedFromServer : this.receivedFromClient).push(datagram.slice());
        this.passOn(datagram, { host, port });
      };
      this.#sockets.push(await openUdp({ host: "127.0.0.1", port: 0 }, receive));
    }
  }

  /** Called before the relay sends the datagram on. */
  race(datagram: Uint8Array): void {
    if (!this.races || ((datagram[0] ?? 0) & 0x80) !== 0) return;
    if (this.#seen++ % this.share !== 0) return;
    this.sentBytes += datagram.byteLength;
    this.send(datagram, this.#server);
  }

  send(datagram: Uint8Array, to: SocketAddress): void {
    this.#batch.load(datagram, to.host, to.port);
    this.#sockets[this.#turn++ % this.#sockets.length]?.send(this.#batch);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}

interface Stage extends AsyncDisposable {
  readonly pair: Pair;
  readonly relay: UdpRelay;
  readonly thief: Thief;
}

async function openStage(options: { readonly sockets: number }): Promise<Stage> {
  const opened: { relay: UdpRelay; thief: Thief }[] = [];
  const pair = await openPair({
    through: async (server) => {
      const thief = new Thief(server);
      await thief.open(options.sockets);
      const relay = await UdpRelay.open(server, {
        delayMs: 1,
        onDatagram: (direction, datagram) => {
          if (direction === "to-server") thief.race(datagram);
        },
      });
      opened.push({ relay, thief });
      return relay.address;
    },
  });
  const [stage] = opened;
  if (stage === undefined) throw new Error("Nothing was opened");
  return {
    pair,
    ...stage,
    [Symbol.asyncDispose]: async () => {
      await pair[Symbol.asyncDispose]();
      await stage.relay[Symbol.asyncDispose]();
      stage.thief.close();
    },
  };
}

function sum(datagrams: readonly Uint8Array[]): number {
  return datagrams.reduce((total, { byteLength }) => total + byteLength, 0);
}
