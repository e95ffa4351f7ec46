import {
  looseMessage,
  looseMessages as kinds,
  openLooseMessage,
} from "../../src/quic/loose-message.ts";
import { directConnectionIds } from "../../src/quic/connection-id.ts";
import { parseLongHeader } from "../../src/quic/quiche-packet.ts";
import { RetryTokens } from "../../src/quic/retry-token.ts";
import { RouteTable } from "../../src/quic/route-table.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { pick } from "../support/mutation.ts";
import { type Random, randomBytes } from "../support/seed.ts";

/** What our own code reads of a datagram before quiche does: ids, tokens, messages beside QUIC. */

const ownIds = [1, 2, 3].map((fill) => new Uint8Array(20).fill(fill));
const foreignIds = [0, 1, 8, 19, 20].map((length) => new Uint8Array(length).fill(9));
const routes = new RouteTable<string>();
const owners = new Map<string, string>();
for (const id of ownIds) routes.addOwn(id, `own ${hex(id)}`);
for (const id of foreignIds) routes.addForeign(id, `foreign ${hex(id)}`);
for (const id of foreignIds) owners.set(hex(id), `foreign ${hex(id)}`);
for (const id of ownIds) owners.set(hex(id), `own ${hex(id)}`);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function anyPacket(random: Random): Uint8Array {
  const id = pick(random, [...ownIds, ...foreignIds]);
  const rest = randomBytes(random, 30);
  if (random() < 0.4) return Buffer.concat([Uint8Array.of(0x40), pick(random, ownIds), rest]);
  const first = pick(random, [0xc0, 0xc3, 0xd0, 0xe0, 0xf0]);
  const version = pick(random, [0, 1, 1, 1, 2, 0xff]);
  const head = Uint8Array.of(first, 0, 0, 0, version, id.length);
  return Buffer.concat([head, id, Uint8Array.of(8), new Uint8Array(8), Uint8Array.of(0), rest]);
}

/** The same destination as quiche reads, from any header that quiche can read. */
export const quicHeaders: FuzzTarget = {
  name: "QUIC headers",
  runs: 1_000_000,
  planned: 5_000_000,
  corpus: (random) => Array.from({ length: 500 }, () => anyPacket(random)),
  check: (bytes) => {
    const header = parseLongHeader(bytes);
    const short = ((bytes[0] ?? 0) & 0x80) === 0;
    const found = short ? routes.findShort(bytes) : routes.findLong(bytes);
    if (header === null) return false;
    if (header.dcid.length > 20 || header.scid.length > 20) throw new RangeError("a long id");
    const id = hex(header.dcid);
    // Behind a short header only ids of ours can stand, since only we know their length.
    const owner = owners.get(id);
    const expected = short && owner?.startsWith("foreign") === true ? undefined : owner;
    if (found !== expected) throw new Error(`${id} leads to ${found}, not ${expected}`);
    return found !== undefined;
  },
};

const ids = directConnectionIds(new Uint8Array(32).fill(4));
const minted = new Set<string>();

/** Nobody else's id is taken for one of an earlier process of ours. */
export const connectionIds: FuzzTarget = {
  name: "connection ids",
  runs: 5_000_000,
  planned: 5_000_000,
  corpus: () =>
    Array.from({ length: 100 }, () => {
      const id = ids.mint();
      minted.add(hex(id));
      return id;
    }),
  check: (bytes) => {
    if (!ids.recognises(bytes)) return false;
    if (!minted.has(hex(bytes))) throw new Error("a forged id");
    return true;
  },
};

const from = { host: "127.0.0.1", port: 5 };
const scid = new Uint8Array(20).fill(1);
const tokens = new RetryTokens();
const sealed = new Map<string, string>();

/** A token opens to what was sealed in it, or not at all. */
export const retryTokens: FuzzTarget = {
  name: "retry tokens",
  decodedShareMin: 0.001,
  runs: 200_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => {
      const original = randomBytes(random, pick(random, [8, 16, 20]));
      const token = tokens.seal(original, scid, from, 1000);
      sealed.set(hex(token), hex(original));
      return token;
    }),
  check: (bytes) => {
    const original = tokens.open(bytes, scid, from, 1000);
    if (original === null) return false;
    if (sealed.get(hex(bytes)) !== hex(original)) throw new Error("a forged token");
    return true;
  },
};

const key = new Uint8Array(32).fill(3);
const numbers = new Set<string>();

/** Without the connection's key it is nothing but a datagram; with it, of one kind. */
export const looseMessages: FuzzTarget = {
  name: "loose messages",
  runs: 300_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => {
      const number = randomBytes(random, 8);
      numbers.add(hex(number));
      return looseMessage(pick(random, kinds), key, randomBytes(random, 20), number);
    }),
  check: (bytes) => {
    const opened = kinds.map((kind) => openLooseMessage(kind, key, bytes));
    const [number, ...others] = opened.filter((one) => one !== null);
    if (number === undefined) return false;
    if (others.length > 0) throw new Error("of more than one kind");
    if (!numbers.has(hex(number))) throw new Error("a forged message");
    return true;
  },
};
