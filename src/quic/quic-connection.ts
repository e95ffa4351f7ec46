import type { ByteStream } from "../protocol/byte-stream.ts";
import { Ballast } from "./ballast.ts";
import type { CloseReason, Connection, ConnectionStats, SocketAddress } from "./connection.ts";
import { closeQuiche, closeReason, connectionRefused, refuseQuiche } from "./close-reason.ts";
import type { ConnectionSetup } from "./connection-setup.ts";
import { connectionStats } from "./connection-stats.ts";
import { DarkLine } from "./dark-line.ts";
import { finishHandshake } from "./finished-handshake.ts";
import { GivenUp } from "./given-up.ts";
import { KeyCopies } from "./key-copies.ts";
import { quicLimits } from "./limits.ts";
import { countedNumber, LooseTalk, type LooseWord } from "./loose-talk.ts";
import { PathSize } from "./path-size.ts";
import { PeerAddress } from "./peer-address.ts";
import { PeerWords } from "./peer-words.ts";
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
  /** A datagram beside the flushes: what it says, or a copy of a packet. */
  sendLoose(datagram: Uint8Array, to: SocketAddress, word?: LooseWord): void;
  /** Secure, checked, ready for use. */
  established(connection: QuicConnection): void;
}

/**
 * One QUIC connection without sockets: datagrams are put in with `receive`, taken out with `send`,
 * and time comes with `handleTimeout`. The endpoint does all three.
 */
export class QuicConnection implements Connection {
  readonly side: "client" | "server";
  readonly #setup: ConnectionSetup;
  readonly #quiche: QuicheConnection;
  readonly #owner: ConnectionOwner;
  readonly #streams: StreamTable;
  readonly #ballast: Ballast;
  readonly #stall = new StallWatch();
  readonly #dark: DarkLine;
  readonly #givenUp: GivenUp;
  readonly #copies = new KeyCopies();
  readonly #size: PathSize;
  readonly #handshakeDeadlineMs: number;
  readonly #end = Promise.withResolvers<CloseReason>();
  #over: CloseReason | undefined;
  readonly #address: PeerAddress;
  #talk: LooseTalk | undefined;
  #words: PeerWords | undefined;
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
    this.#dark = new DarkLine(setup.side, {
      ask: (number) => this.#talk?.say("asks", number, this.remoteAddress),
      proceed: () => {
        this.#size.check(owner.nowMs());
        this.#givenUp.startOver(owner.nowMs());
        this.ping();
      },
    });
    this.#size = new PathSize(setup.datagramBytesMax);
    this.#ballast = new Ballast(setup.quiche);
    this.#streams = new StreamTable(setup.quiche, setup.side, this.#ballast, {
      wake: () => owner.wake(this),
      consumed: (bytes) => this.#noteConsumed(bytes),
      gaveUp: (stream) => this.#givenUp.add(stream, owner.nowMs(), this.#rttMs()),
    });
    this.#givenUp = new GivenUp(setup.quiche, (number) =>
      this.#talk?.say("gives-up", countedNumber(number), this.remoteAddress),
    );
    const now = owner.nowMs();
    this.#heardMs = now;
    this.#handshakeDeadlineMs = now + setup.handshakeMs;
  }

  get closed(): Promise<CloseReason> {
    return this.#end.promise;
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
    const { datagramBytes } = this;
    const beside = { moves: this.#address.moves, questions: this.#dark.asked, datagramBytes };
    return connectionStats(this.#quiche, beside);
  }

  quietMs(): number {
    return this.#owner.nowMs() - this.#heardMs;
  }

  /** An address has changed: the peer is to see it, and the path may be another one. */
  moved(): void {
    this.#size.forget();
    this.ping();
  }

  /** Asks the peer for a sign of life: after a change of our address, and to keep a NAT open. */
  ping(): void {
    if (this.#over !== undefined || !this.isEstablished) return;
    this.#quiche.sendKeepAlive();
    if (this.#dark.holds) this.#dark.ask();
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
      this.#words?.receive(said.word, said.number, { host, port });
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
    this.#words?.challenge({ host, port });
  }

  /** Looks at what the datagrams changed. Once per turn, before sending. */
  handleReceived(): void {
    if (this.#receivedSomething) {
      this.#receivedSomething = false;
      this.#noteHeard();
      if (!this.isEstablished && this.#over === undefined) this.#checkEstablished();
      if (this.isEstablished && this.#over === undefined) this.#streams.handleReceived();
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
    const isHeld = this.#over === undefined && this.#dark.holds;
    if (isHeld || this.#sendHold.isOn(now)) return null;
    this.#readBytes = 0;
    try {
      const bytes = this.#quiche.send(slot);
      if (bytes === null) return null;
      this.#copies.noteSent(slot, bytes, now);
      this.#size.noteSent(bytes, now);
      return bytes;
    } catch (error) {
      quicheError(error);
      return null;
    }
  }

  /** What the path carries, and therefore how large slots are. */
  get datagramBytes(): number {
    return this.#size.datagramBytes;
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
      // In the dark nobody hears of it, and no time is lost for it.
      this.#dark.holds ? Number.POSITIVE_INFINITY : this.#givenUp.dueMs,
      this.#copies.dueMs,
      this.#size.dueMs,
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
        this.#owner.sendLoose(copy, this.remoteAddress);
      for (const number of this.#size.probes(now, () => this.#rttMs()))
        this.#talk?.probe(number, this.remoteAddress);
      this.#dark.handleTimeout(now, () => this.#rttMs());
      if (!this.#dark.holds) this.#givenUp.handleTimeout(now, () => this.#rttMs());
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
      send: (datagram, to, word) => this.#owner.sendLoose(datagram, to, word),
    });
    this.#words = this.#listen(this.#talk);
    const { keepAliveMs } = this.#setup;
    if (keepAliveMs > 0) this.#keepAliveAtMs = this.#owner.nowMs() + keepAliveMs;
    if (this.side === "client") this.#ballast.begin();
    // So that both know that the other one replies. The machine asks: its client has the keys already.
    else this.#dark.ask();
    this.#owner.established(this);
  }

  #listen(talk: LooseTalk): PeerWords {
    return new PeerWords({
      talk,
      address: this.#address,
      sendHold: this.#sendHold,
      dark: this.#dark,
      size: this.#size,
      ballast: this.#ballast,
      streams: this.#streams,
      nowMs: () => this.#owner.nowMs(),
      rttMs: () => this.#rttMs(),
      wake: () => this.#owner.wake(this),
      moved: () => this.moved(),
    });
  }

  #rttMs(): number {
    return this.#quiche.paths()[0]?.rtt ?? 0;
  }

  /** Perhaps the peer only does not read; if a grant was lost, it will send another one. */
  #sayBlocked(nowMs: number): void {
    this.#stall.ring(nowMs);
    this.#size.check(nowMs);
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
    this.#end.resolve(reason);
  }

  /** A datagram proves nothing; a packet that quiche counted does. */
  #noteHeard(): void {
    const { recv, lost } = this.#quiche.stats();
    if (recv === this.#countedPackets) return;
    this.#countedPackets = recv;
    this.#heardMs = this.#owner.nowMs();
    if (this.#copies.noteLost(lost, this.#heardMs)) this.#size.noteLost(this.#heardMs);
    this.#dark.noteHeard(this.#heardMs);
  }
}
