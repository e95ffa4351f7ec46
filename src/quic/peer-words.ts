import type { Ballast } from "./ballast.ts";
import type { SocketAddress } from "./connection.ts";
import type { DarkLine } from "./dark-line.ts";
import { givenUpOf } from "./given-up.ts";
import { countOf, type LooseTalk, type LooseWord } from "./loose-talk.ts";
import type { PathSize } from "./path-size.ts";
import type { PeerAddress } from "./peer-address.ts";
import type { SendHold } from "./send-hold.ts";
import type { StreamTable } from "./stream-table.ts";

/** What the words of the peer are about. */
export interface PeerWordsParts {
  readonly talk: LooseTalk;
  readonly address: PeerAddress;
  readonly sendHold: SendHold;
  readonly dark: DarkLine;
  readonly size: PathSize;
  readonly ballast: Ballast;
  readonly streams: StreamTable;
  readonly nowMs: () => number;
  readonly rttMs: () => number;
  /** There is something to send. */
  readonly wake: () => void;
  /** The peer is somewhere else. */
  readonly moved: () => void;
}

/** What the peer says beside QUIC's packets, and what comes from where it was not before. */
export class PeerWords {
  readonly #parts: PeerWordsParts;

  constructor(parts: PeerWordsParts) {
    this.#parts = parts;
  }

  receive(word: LooseWord, number: Uint8Array, from: SocketAddress): void {
    const { address, ballast, dark, size, streams, talk, nowMs, wake } = this.#parts;
    const isHere = address.is(from.host, from.port);
    switch (word) {
      case "challenge":
        talk.say("answer", number, from);
        break;
      case "answer":
        this.#receiveAnswer(number, from);
        break;
      case "blocked":
        if (ballast.release(countOf(number))) wake();
        break;
      case "asks":
        if (isHere) this.#reply(number, from);
        // A question is as good as a packet, and gets no reply; its number may yet come from the old address.
        else if (dark.noteElsewhere(number)) this.challenge(from);
        break;
      case "replies":
        dark.noteReply(number, nowMs());
        break;
      case "probes":
        if (isHere) talk.say("carries", number, from);
        break;
      case "carries":
        if (isHere) size.noteCarried(countOf(number), nowMs());
        break;
      case "gives-up":
        streams.handleGivenUp(givenUpOf(countOf(number)));
    }
  }

  /** Something authentic came from there. */
  challenge(from: SocketAddress): void {
    const { address, sendHold, talk, nowMs, rttMs } = this.#parts;
    const now = nowMs();
    const challenge = address.noteAuthentic(from, now);
    if (challenge === null) return;
    talk.say("challenge", challenge.number, from);
    if (challenge.first) sendHold.begin(now, rttMs());
  }

  #receiveAnswer(number: Uint8Array, from: SocketAddress): void {
    const { address, dark, sendHold, nowMs, moved } = this.#parts;
    const now = nowMs();
    if (!address.noteAnswer(from, number, now)) return;
    sendHold.end();
    dark.letGo(now);
    moved();
  }

  #reply(number: Uint8Array, from: SocketAddress): void {
    const { dark, sendHold, talk, nowMs } = this.#parts;
    const now = nowMs();
    if (!dark.noteQuestion(number, now)) return;
    // It has not gone from there, or not for good.
    sendHold.end();
    talk.say("replies", number, from);
    dark.letGo(now);
  }
}
