import { localAddress } from "../../src/quic/connection-factory.ts";
import { quicLimits } from "../../src/quic/limits.ts";
import { clientConfig } from "../../src/quic/quiche-config.ts";
import { QuicheConnection } from "../../src/quic/quiche-connection.ts";
import { settings } from "../quic/settings.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { mutate } from "../support/mutation.ts";
import { initialKeys, openInitial, sealPacket } from "../support/packet-seal.ts";
import { anyFrame, plausibleFrame, varint } from "../support/quic-frames.ts";
import { KeyHolder, serverAddress, StagedEndpoint, StagedPair } from "../support/quic-stage.ts";
import type { Random } from "../support/seed.ts";

/**
 * Whole endpoints without sockets, native half included: no datagram ends the process, throws, or
 * leaves a promise behind that rejects. Their keys are random, so a failure is found again by the
 * seed and the number of runs rather than by its last datagram alone.
 */

/** Datagrams between two looks at what came of them. */
const datagramsPerTurn = 32;
let delivered = 0;

let pair: StagedPair | undefined;
let pairHeard = 0;

/** Flights of a real connection, damaged, at either end of it; the first byte says which end. */
export const datagrams: FuzzTarget = {
  name: "datagrams",
  // Only whole ones that are new pass: hardly any, and then only once.
  decodedShareMin: 0,
  runs: 1_000_000,
  planned: 5_000_000,
  epochRuns: 50_000,
  corpus: async () => {
    await pair?.close();
    pair = await StagedPair.open();
    return pair.flights;
  },
  check: (bytes) => {
    const [side = 0] = bytes;
    pair?.deliver((side & 1) === 0 ? "server" : "client", bytes.slice(1));
    if (++delivered % datagramsPerTurn !== 0) return false;
    return StagedEndpoint.turn().then(() => {
      const heard = pair?.heard ?? 0;
      const more = heard > pairHeard;
      pairHeard = heard;
      return more;
    });
  },
};

let server: StagedEndpoint | undefined;
let holder: KeyHolder | undefined;
let port = 10_000;

async function newHolder(): Promise<KeyHolder> {
  // Connections that are over drain for a while, and an endpoint has so many at most.
  if (server === undefined || server.endpoint.connectionCount > quicLimits.halfOpenEarlyDrop) {
    await server?.endpoint.close();
    server = await StagedEndpoint.open("server");
  }
  port = port < 60_000 ? port + 1 : 10_000;
  holder = await KeyHolder.connect(server, port);
  return holder;
}

const framesPerPacket = 8;

/** What a peer that holds the keys may send after the handshake, which needs no login: frames of all kinds. */
export const quicFrames: FuzzTarget = {
  name: "QUIC frames",
  runs: 40_000,
  planned: 500_000 / framesPerPacket,
  corpus: (random) => Array.from({ length: 500 }, () => framesOf(random, 0.98)),
  mutate: (random, corpus) =>
    random() < 0.05 ? mutate(random, corpus) : framesOf(random, random() < 0.1 ? 0.5 : 1),
  check: async (payload) => {
    const peer = holder === undefined || holder.isOver ? await newHolder() : holder;
    const heard = peer.heard;
    peer.send(payload.subarray(0, 1100));
    if (++delivered % 4 === 0) await StagedEndpoint.turn();
    return peer.heard > heard;
  },
};

function framesOf(random: Random, plausible: number): Uint8Array {
  const frames = Array.from({ length: framesPerPacket }, () =>
    random() < plausible ? plausibleFrame(random) : anyFrame(random),
  );
  return Buffer.concat(frames);
}

let strangers: StagedEndpoint | undefined;
let strangersMet = 0;

/** First flights under the keys that everybody knows: damaged TLS hellos, and any frames in their place. */
export const firstFlights: FuzzTarget = {
  name: "first flights",
  runs: 10_000,
  corpus: (random) => [
    ...Array.from({ length: 20 }, () => genuineHello()),
    ...Array.from({ length: 20 }, () => framesOf(random, 0)),
  ],
  check: async (payload) => {
    // Fewer than would be asked for a Retry.
    if (strangers === undefined || strangersMet++ % (quicLimits.halfOpenEarlyDrop - 2) === 0) {
      await strangers?.endpoint.close();
      strangers = await StagedEndpoint.open("server");
    }
    const before = strangers.endpoint.connectionCount;
    strangers.deliver(sealedFlight(payload), 20_000, "127.0.0.1");
    await StagedEndpoint.turn();
    return strangers.endpoint.connectionCount > before;
  },
};

/** The hello names it, and must name that of its packet. */
const strangerId = new Uint8Array(20).fill(0x5c);

/** The frames of a client's first packet. */
function genuineHello(): Uint8Array {
  const local = localAddress(serverAddress);
  const client = QuicheConnection.connect(strangerId, local, serverAddress, clientConfig(settings));
  const slot = new Uint8Array(quicLimits.initialDatagramBytesMin);
  const datagram = slot.subarray(0, client.send(slot) ?? 0);
  const dcid = datagram.subarray(6, 6 + (datagram[5] ?? 0));
  const payload = openInitial(initialKeys(dcid), datagram);
  // The padding behind it is made anew.
  return payload.subarray(0, payload.findLastIndex((byte) => byte !== 0) + 1);
}

function sealedFlight(payload: Uint8Array): Uint8Array {
  const dcid = crypto.getRandomValues(new Uint8Array(16));
  const room = 1140;
  const frames = new Uint8Array(room);
  frames.set(payload.subarray(0, room));
  const header = Buffer.concat([
    Uint8Array.of(0xc3, 0, 0, 0, 1, dcid.length),
    dcid,
    Uint8Array.of(strangerId.length),
    strangerId,
    Uint8Array.of(0),
    varint(4 + room + 16),
    new Uint8Array(4),
  ]);
  return sealPacket(initialKeys(dcid), header, frames);
}
