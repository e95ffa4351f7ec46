import type { ByteStream } from "../protocol/byte-stream.ts";
import { Ballast } from "./ballast.ts";
import type { CloseReason, Connection, ConnectionStats, SocketAddress } from "./connection.ts";
import { closeQuiche, closeReason, connectionRefused, refuseQuiche } from "./close-reason.ts";
import type { ConnectionSetup } from "./connection-setup.ts";
import { connectionStats } from "./connection-stats.ts";
import { DarkWatch } from "./dark-watch.ts";
import { finishHandshake } from "./finished-handshake.ts";
import { KeyCopies } from "./key-copies.ts";
import { quicLimits } from "./limits.ts";
import { countedNumber, countOf, LooseTalk, type LooseWord } from "./loose-talk.ts";
import { PeerAddress } from "./peer-address.ts";
import { Questions } from "./questions.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { quicheError } from "./quiche-error.ts";
import { SendHold } from "./send-hold.ts";
import { StallWatch } from "./stall-watch.ts";
import { StreamTable } from "./stream-table.ts";

/** What a connection needs of whoever owns the socket. */
export interface ConnectionOwner {
  nowMs(): number;
  /** The connection has work for the next flush. */
  wake(connection: QuicConnection): void;
  /** The connection must send before more is read. */
  sendNow(connection: QuicConnection): void;
  /** A datagram beside the flushes; if wanted by a socket as well that was replaced lately. */
  sendLoose(datagram: Uint8Array, to: SocketAddress, byFormerToo: boolean): void;
  /** Secure, checked, ready for use. */
  established(connection: QuicConnection): void;
}

/**
 * One QUIC connection without sockets: datagrams are put in with `receive`, taken out with `send`,
 * and time comes with `handleTimeout`. The endpoint does all three.
 */
export class QuicConnection implements Connection {
  readonly side: "client" | "server";
  readonly closed: Promise<CloseReason>;
  readonly #setup: ConnectionSetup;
  readonly #quiche: QuicheConnection;
  readonly #owner: ConnectionOwner;
  readonly #streams: StreamTable;
  readonly #ballast: Ballast;
  readonly #stall = new StallWatch();
  readonly #dark: DarkWatch;
  readonly #questions = new Questions();
  readonly #copies = new KeyCopies();
  readonly #handshakeDeadlineMs: number;
  #resolveClosed: (reason: CloseReason) => void = () => undefined;
  #over: CloseReason | undefined;
  readonly #address: PeerAddress;
  #talk: LooseTalk | undefined;
  #readBytes = 0;
  readonly #sendHold = new SendHold();
  #sentAfterEnd = 0;
  #channelBinding: Uint8Array | undefined;
  #certificates: readonly Uint8Array[] = [];
  #idleMs = 0;
  #receivedSomething = false;
  #heardMs: number;
  #countedPackets = 0;
  #keepAliveAtMs = Number.POSITIVE_INFINITY;

  constructor(setup: ConnectionSetup, owner: ConnectionOwner) {
    this.side = setup.side;
    this.#setup = setup;
    this.#quiche = setup.quiche;
    this.#owner = owner;
    this.#address = new PeerAddress(setup.path.from);
    this.#dark = new DarkWatch(setup.side);
    this.#ballast = new Ballast(setup.quiche);
    this.#streams = new StreamTable(setup.quiche, setup.side, this.#ballast, {
      wake: () => owner.wake(this),
      consumed: (bytes) => this.#noteConsumed(bytes),
    });
    const now = owner.nowMs();
    this.#heardMs = now;
    this.#handshakeDeadlineMs = now + setup.handshakeMs;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  get channelBinding(): Uint8Array {
    if (this.#channelBinding === undefined) throw new TypeError("The handshake is not over yet");
    return this.#channelBinding;
  }
  get serverCertificate(): Uint8Array {
    const [leaf] = this.#certificates;
    if (leaf === undefined) throw new TypeError("The handshake is not over yet");
    return leaf;
  }
  get serverCertificateCount(): number {
    return this.#certificates.length;
  }
  get alpn(): string {
    return this.#setup.alpn;
  }
  get remoteAddress(): SocketAddress {
    return this.#address.current;
  }
  get isEstablished(): boolean {
    return this.#channelBinding !== undefined;
  }
  /** Nothing more to send or to wait for: the endpoint may forget it. */
  get isGone(): boolean {
    return this.#quiche.isClosed() || this.#sentAfterEnd > quicLimits.packetsAfterEndMax;
  }
  get heardAnything(): boolean {
    return this.#quiche.stats().recv > 0;
  }
  get closeReason(): CloseReason | undefined {
    return this.#over;
  }

  openStream(): Promise<ByteStream> {
    return this.#streams.open();
  }

  acceptStream(): Promise<ByteStream | null> {
    return this.#streams.accept();
  }

  close(code: number, reason: string): void {
    if (this.#over !== undefined) return;
    closeQuiche(this.#quiche, code, reason);
    this.#finish({ kind: "local", code, reason });
    // Before any timer: quiche 0.18, closed while a probe of the handshake is due, sends probes
    // without end and never says goodbye.
    this.#owner.sendNow(this);
  }

  /** Gives up a connection that never got through its handshake, or has no business here. */
  refuse(reason: CloseReason): void {
    if (this.#over !== undefined) return;
    refuseQuiche(this.#quiche);
    this.#finish(reason);
  }

  stats(): ConnectionStats {
    const { moves } = this.#address;
    return connectionStats(this.#quiche, { moves, questions: this.#questions.asked });
  }

  quietMs(): number {
    return this.#owner.nowMs() - this.#heardMs;
  }

  /** Asks the peer for a sign of life: after a change of our address, and to keep a NAT open. */
  ping(): void {
    if (this.#over !== undefined || !this.isEstablished) return;
    this.#quiche.sendKeepAlive();
    if (this.#holds) this.#ask();
    this.#owner.wake(this);
  }

  /** Takes in one datagram. What is not authentic changes nothing. */
  receive(datagram: Uint8Array, host: string, port: number): void {
    const talk = this.#talk;
    const expected = this.#address.is(host, port);
    // A client's server does not move, and nobody moves during the handshake. A challenge from
    // elsewhere least of all: with its answer a thief of packets could move us to himself.
    if (!expected && (this.side === "client" || talk === undefined)) return;
    const said = talk?.open(datagram) ?? null;
    if (said !== null) {
      this.#receiveWord(said.word, said.number, { host, port });
      return;
    }
    const packets = expected ? 0 : this.#quiche.stats().recv;
    this.#receivedSomething = true;
    try {
      this.#quiche.receive(datagram, this.#setup.path);
    } catch (error) {
      quicheError(error);
    }
    if (expected || this.#quiche.stats().recv === packets) return;
    this.#challenge({ host, port });
  }

  /** Looks at what the datagrams changed. Once per turn, before sending. */
  handleReceived(): void {
    if (this.#receivedSomething) {
      this.#receivedSomething = false;
      this.#noteHeard();
      if (!this.isEstablished && this.#over === undefined) this.#checkEstablished();
      if (this.isEstablished && this.#over === undefined) {
        this.#streams.handleReceived();
      }
    }
    this.#checkOver();
    if (this.#over !== undefined) return;
    this.#ballast.refill();
    this.#streams.pumpWriters();
    const { writersWaiting, sentBytes } = this.#streams;
    this.#copies.noteFlush(sentBytes);
    this.#stall.note(writersWaiting, sentBytes, this.#owner.nowMs(), () => this.#rttMs());
  }

  /** Writes the next datagram into `slot` and gives its length, or null when there is none. */
  send(slot: Uint8Array): number | null {
    if (this.#over !== undefined && this.#sentAfterEnd++ > quicLimits.packetsAfterEndMax)
      return null;
    const now = this.#owner.nowMs();
    if (this.#holds || this.#sendHold.isOn(now)) return null;
    this.#readBytes = 0;
    try {
      const bytes = this.#quiche.send(slot);
      if (bytes !== null) this.#copies.noteSent(slot, bytes, now);
      return bytes;
    } catch (error) {
      quicheError(error);
      return null;
    }
  }

  get sendDatagramBytesMax(): number {
    return this.#quiche.sendDatagramBytesMax();
  }

  /** When `handleTimeout` is due, by the owner's clock; infinity when nothing is awaited. */
  deadlineMs(): number {
    const now = this.#owner.nowMs();
    if (this.#sendHold.isOn(now)) return this.#sendHold.untilMs;
    const timeoutMs = this.#quiche.timeoutMs();
    const quicheAtMs = timeoutMs === null ? Number.POSITIVE_INFINITY : now + timeoutMs;
    if (this.#over !== undefined) return quicheAtMs;
    if (!this.isEstablished) return Math.min(quicheAtMs, this.#handshakeDeadlineMs);
    const idleAtMs = this.#heardMs + this.#idleMs;
    this.#dark.note(quicheAtMs < idleAtMs - quicLimits.idleSlackMs, this.#heardMs, now);
    return Math.min(
      quicheAtMs,
      this.#keepAliveAtMs,
      this.#stall.dueMs,
      this.#dark.dueMs,
      this.#copies.dueMs,
    );
  }

  handleTimeout(): void {
    this.#quiche.onTimeout();
    const now = this.#owner.nowMs();
    if (this.#over === undefined) {
      if (!this.isEstablished && now >= this.#handshakeDeadlineMs) {
        this.refuse({ kind: "handshake-timeout" });
      } else if (now >= this.#keepAliveAtMs) {
        this.#keepAliveAtMs = now + this.#setup.keepAliveMs;
        this.ping();
      }
      if (now >= this.#stall.dueMs) this.#sayBlocked(now);
      for (let copy = this.#copies.take(now); copy !== null; copy = this.#copies.take(now))
        this.#owner.sendLoose(copy, this.remoteAddress, false);
      if (now >= this.#dark.dueMs && this.#dark.ring(now, this.#rttMs())) this.#ask();
    }
    this.#owner.wake(this);
  }

  /** The socket is gone: no goodbye is possible. */
  abandon(reason: CloseReason): void {
    this.#finish(reason);
  }

  #checkEstablished(): void {
    if (!this.#quiche.isEstablished()) return;
    const finished = finishHandshake(this.#setup);
    if (typeof finished === "string") {
      refuseQuiche(this.#quiche);
      this.#finish({ kind: "transport", code: connectionRefused, reason: finished });
      return;
    }
    this.#channelBinding = finished.channelBinding;
    this.#certificates = finished.certificates;
    this.#idleMs = finished.idleMs;
    this.#talk = new LooseTalk({
      side: this.side,
      key: finished.looseKey,
      receiverId: this.#quiche.destinationId,
      send: (datagram, to, word) => this.#owner.sendLoose(datagram, to, word === "asks"),
    });
    if (this.#setup.keepAliveMs > 0) {
      this.#keepAliveAtMs = this.#owner.nowMs() + this.#setup.keepAliveMs;
    }
    if (this.side === "client") this.#ballast.begin();
    // So that both know that the other one replies. The machine asks: its client has the keys already.
    else this.#ask();
    this.#owner.established(this);
  }

  #challenge(from: SocketAddress): void {
    const now = this.#owner.nowMs();
    const challenge = this.#address.noteAuthentic(from, now);
    if (challenge === null) return;
    this.#talk?.say("challenge", challenge.number, from);
    if (challenge.first) this.#sendHold.begin(now, this.#rttMs());
  }

  #rttMs(): number {
    return this.#quiche.paths()[0]?.rtt ?? 0;
  }

  #receiveWord(word: LooseWord, number: Uint8Array, from: SocketAddress): void {
    switch (word) {
      case "challenge":
        this.#talk?.say("answer", number, from);
        break;
      case "answer":
        if (!this.#address.noteAnswer(from, number, this.#owner.nowMs())) break;
        this.#sendHold.end();
        this.#letGo();
        this.ping();
        break;
      case "blocked":
        if (this.#ballast.release(countOf(number))) this.#owner.wake(this);
        break;
      case "asks":
        this.#receiveQuestion(number, from);
        break;
      case "replies":
        if (this.#questions.noteReply(countOf(number))) this.#letGo();
    }
  }

  /** From elsewhere it is as good as a packet, and gets no reply; its number may yet come from the old address. */
  #receiveQuestion(number: Uint8Array, from: SocketAddress): void {
    const question = countOf(number);
    if (!this.#address.is(from.host, from.port)) {
      if (this.#questions.noteElsewhere(question)) this.#challenge(from);
      return;
    }
    if (!this.#questions.noteQuestion(question, this.#owner.nowMs())) return;
    // It has not gone from there, or not for good.
    this.#sendHold.end();
    this.#talk?.say("replies", number, from);
    this.#letGo();
  }

  /**
   * The line is dark. A probe of quiche that is due waits in it until it is sent, without regard to the
   * congestion window; its timer may wait twice as long each time.
   */
  get #holds(): boolean {
    return this.#dark.isDark && this.#questions.peerKnows && this.#over === undefined;
  }

  /** The peer is there: what is unanswered goes out now, or where no probe was due yet something to acknowledge. */
  #letGo(): void {
    if (this.#over !== undefined || !this.#dark.awaits) return;
    this.#dark.letGo(this.#owner.nowMs());
    this.ping();
  }

  #ask(): void {
    this.#talk?.say("asks", countedNumber(this.#questions.next()), this.remoteAddress);
  }

  /** Perhaps the peer only does not read; if a grant was lost, it will send another one. */
  #sayBlocked(nowMs: number): void {
    this.#stall.ring(nowMs);
    this.#talk?.say("blocked", countedNumber(this.#ballast.nextBlocked()), this.remoteAddress);
  }

  #noteConsumed(bytes: number): void {
    this.#owner.wake(this);
    this.#readBytes += bytes;
    if (this.#readBytes >= quicLimits.readBytesBeforeSend) this.#owner.sendNow(this);
  }

  #checkOver(): void {
    if (this.#over !== undefined) return;
    if (!this.#quiche.isDraining() && !this.#quiche.isClosed()) return;
    this.#finish(closeReason(this.#quiche, this.isEstablished));
  }

  #finish(reason: CloseReason): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#setup.keylog.close();
    this.#streams.failAll(reason);
    this.#owner.wake(this);
    this.#resolveClosed(reason);
  }

  /** A datagram proves nothing; a packet that quiche counted does. */
  #noteHeard(): void {
    const { recv, lost } = this.#quiche.stats();
    if (recv === this.#countedPackets) return;
    this.#countedPackets = recv;
    this.#heardMs = this.#owner.nowMs();
    this.#copies.noteLost(lost, this.#heardMs);
    if (this.#dark.isDark) this.#letGo();
    else if (this.#dark.isOwed) {
      // It need not acknowledge what was let go: what we send now draws one that does, or shows the loss.
      this.#dark.end();
      this.ping();
    }
  }
}
