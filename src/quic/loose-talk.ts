import type { SocketAddress } from "./connection.ts";
import { quicLimits } from "./limits.ts";
import { probedBytes } from "./path-size.ts";
import {
  type LooseMessage,
  looseMessage,
  looseMessageBytes,
  looseNumberBytes,
  openLooseMessage,
} from "./loose-message.ts";

/** What either side says beside QUIC; a challenge is only ever the machine's, an answer the client's. */
export type LooseWord =
  "challenge" | "answer" | "blocked" | "asks" | "replies" | "probes" | "carries" | "gives-up";

export interface LooseTalkOptions {
  readonly side: "client" | "server";
  readonly key: Uint8Array;
  readonly receiverId: () => Uint8Array;
  readonly send: (datagram: Uint8Array, to: SocketAddress, word: LooseWord) => void;
}

/** One end of the talk beside QUIC's packets: seals our messages and opens the peer's. */
export class LooseTalk {
  readonly #options: LooseTalkOptions;
  readonly #words: ReadonlyMap<LooseWord, LooseMessage>;
  readonly #peerWords: ReadonlyMap<LooseWord, LooseMessage>;

  constructor(options: LooseTalkOptions) {
    this.#options = options;
    const isClient = options.side === "client";
    this.#words = isClient ? clientWords : machineWords;
    this.#peerWords = isClient ? machineWords : clientWords;
  }

  say(word: LooseWord, number: Uint8Array, to: SocketAddress): void {
    const kind = this.#words.get(word);
    if (kind === undefined) return;
    const { key, receiverId, send } = this.#options;
    send(looseMessage(kind, key, receiverId(), number), to, word);
  }

  /** A message that zeros make as long as its number says. */
  probe(number: bigint, to: SocketAddress): void {
    const kind = this.#words.get("probes");
    if (kind === undefined) return;
    const { key, receiverId, send } = this.#options;
    const datagram = new Uint8Array(probedBytes(number));
    datagram.set(looseMessage(kind, key, receiverId(), countedNumber(number)));
    send(datagram, to, "probes");
  }

  /** What the peer says, or null when the datagram is something else. */
  open(datagram: Uint8Array): { readonly word: LooseWord; readonly number: Uint8Array } | null {
    if (datagram.byteLength !== looseMessageBytes) return this.#openProbe(datagram);
    for (const [word, kind] of this.#peerWords) {
      const number = openLooseMessage(kind, this.#options.key, datagram);
      if (number !== null) return { word, number };
    }
    return null;
  }

  #openProbe(
    datagram: Uint8Array,
  ): { readonly word: "probes"; readonly number: Uint8Array } | null {
    const kind = this.#peerWords.get("probes");
    if (kind === undefined || !endsAsProbe(datagram)) return null;
    const message = datagram.subarray(0, looseMessageBytes);
    const number = openLooseMessage(kind, this.#options.key, message);
    if (number === null || probedBytes(countOf(number)) !== datagram.byteLength) return null;
    return { word: "probes", number };
  }
}

/** Numbers of all but challenges and of streams given up count up from 1. */
export function countedNumber(count: bigint): Uint8Array {
  const number = Buffer.alloc(looseNumberBytes);
  number.writeBigUInt64BE(count);
  return number;
}

/** A packet of QUIC ends with 16 bytes that look random, and need not be looked at any further. */
function endsAsProbe(datagram: Uint8Array): boolean {
  if (datagram.byteLength <= quicLimits.datagramBytesBase) return false;
  return datagram.subarray(-zerosLookedAt).every((byte) => byte === 0);
}

export function countOf(number: Uint8Array): bigint {
  return Buffer.from(number).readBigUInt64BE();
}

const zerosLookedAt = 8;
const clientWords = new Map<LooseWord, LooseMessage>([
  ["answer", "answer"],
  ["blocked", "client-blocked"],
  ["asks", "client-asks"],
  ["replies", "client-replies"],
  ["probes", "client-probes"],
  ["carries", "client-carries"],
  ["gives-up", "client-gives-up"],
]);
const machineWords = new Map<LooseWord, LooseMessage>([
  ["challenge", "challenge"],
  ["blocked", "machine-blocked"],
  ["asks", "machine-asks"],
  ["replies", "machine-replies"],
  ["probes", "machine-probes"],
  ["carries", "machine-carries"],
  ["gives-up", "machine-gives-up"],
]);
