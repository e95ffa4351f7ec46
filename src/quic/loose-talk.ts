import type { SocketAddress } from "./connection.ts";
import {
  type LooseMessage,
  looseMessage,
  looseMessageBytes,
  looseNumberBytes,
  openLooseMessage,
} from "./loose-message.ts";

/** What either side says beside QUIC; a challenge is only ever the machine's, an answer the client's. */
export type LooseWord = "challenge" | "answer" | "blocked" | "asks" | "replies";

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

  /** What the peer says, or null when the datagram is something else. */
  open(datagram: Uint8Array): { readonly word: LooseWord; readonly number: Uint8Array } | null {
    if (datagram.byteLength !== looseMessageBytes) return null;
    for (const [word, kind] of this.#peerWords) {
      const number = openLooseMessage(kind, this.#options.key, datagram);
      if (number !== null) return { word, number };
    }
    return null;
  }
}

/** Numbers of all but challenges count up from 1. */
export function countedNumber(count: bigint): Uint8Array {
  const number = Buffer.alloc(looseNumberBytes);
  number.writeBigUInt64BE(count);
  return number;
}

export function countOf(number: Uint8Array): bigint {
  return Buffer.from(number).readBigUInt64BE();
}

const clientWords = new Map<LooseWord, LooseMessage>([
  ["answer", "answer"],
  ["blocked", "client-blocked"],
  ["asks", "client-asks"],
  ["replies", "client-replies"],
]);
const machineWords = new Map<LooseWord, LooseMessage>([
  ["challenge", "challenge"],
  ["blocked", "machine-blocked"],
  ["asks", "machine-asks"],
  ["replies", "machine-replies"],
]);
