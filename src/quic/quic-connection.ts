import type { ByteStream } from "../protocol/byte-stream.ts";
import { Ballast } from "./ballast.ts";
import type { CloseReason, Connection, ConnectionStats, SocketAddress } from "./connection.ts";
import { closeReason } from "./close-reason.ts";
import type { Keylog } from "./keylog.ts";
import { quicLimits } from "./limits.ts";
import {
  type LooseMessage,
  looseMessage,
  looseNumberBytes,
  openLooseMessage,
} from "./loose-message.ts";
import { PeerAddress } from "./peer-address.ts";
import type { QuicheConnection, RecvInfo } from "./quiche-connection.ts";
import { quicheError } from "./quiche-error.ts";
import { StallWatch } from "./stall-watch.ts";
import { StreamTable } from "./stream-table.ts";

/** What a connection needs of whoever owns the socket. */
export interface ConnectionOwner {
  nowMs(): number;
  /** The connection has work for the next flush. */
  wake(connection: QuicConnection): void;
  /** The connection must send before more is read. */
  sendNow(connection: QuicConnection): void;
  /** A datagram beside the packets of QUIC. */
  sendLoose(datagram: Uint8Array, to: SocketAddress): void;
  /** Secure, checked, ready for use. */
  established(connection: QuicConnection): void;
}

export interface ConnectionSetup {
  readonly side: "client" | "server";
  readonly quiche: QuicheConnection;
  readonly keylog: Keylog;
  /** Both addresses as quiche is to see them, always. */
  readonly path: RecvInfo;
  readonly alpn: string;
  /** The server's own certificate; the client learns it in the handshake. */
  readonly ownCertificate: Uint8Array | undefined;
  readonly handshakeMs: number;
  readonly keepAliveMs: number;
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
  readonly #handshakeDeadlineMs: number;
  #resolveClosed: (reason: CloseReason) => void = () => undefined;
  #over: CloseReason | undefined;
  readonly #address: PeerAddress;
  #looseKey: Uint8Array | undefined;
  #readBytes = 0;
  #heldUntilMs = 0;
  #holdFromMs = 0;
  #sentAfterEnd = 0;
  #channelBinding: Uint8Array | undefined;
  #certificates: readonly Uint8Array[] = [];
  #receivedSomething = false;
  #heardMs: number;
  #receivedMs: number;
  #countedPackets = 0;
  #keepAliveAtMs: number;

  constructor(setup: ConnectionSetup, owner: ConnectionOwner) {
    this.side = setup.side;
    this.#setup = setup;
    this.#quiche = setup.quiche;
    this.#owner = owner;
    this.#address = new PeerAddress(setup.path.from);
    this.#ballast = new Ballast(setup.quiche);
    this.#streams = new StreamTable(setup.quiche, setup.side, this.#ballast, {
      wake: () => owner.wake(this),
      consumed: (bytes) => this.#noteConsumed(bytes),
    });
    const now = owner.nowMs();
    this.#heardMs = now;
    this.#receivedMs = now;
    this.#handshakeDeadlineMs = now + setup.handshakeMs;
    this.#keepAliveAtMs = Number.POSITIVE_INFINITY;
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
    this.#closeQuiche(true, code, reason);
    this.#finish({ kind: "local", code, reason });
    // Before any timer: quiche 0.18, closed while a probe of the handshake is due, sends probes
    // without end and never says goodbye.
    this.#owner.sendNow(this);
  }

  /** Gives up a connection that never got through its handshake, or has no business here. */
  refuse(reason: CloseReason): void {
    if (this.#over !== undefined) return;
    this.#closeQuiche(false, connectionRefused, "");
    this.#finish(reason);
  }

  stats(): ConnectionStats {
    const stats = this.#quiche.stats();
    const [path] = this.#quiche.paths();
    return {
      rttMs: path?.rtt ?? 0,
      sentBytes: stats.sentBytes,
      receivedBytes: stats.recvBytes,
      sentPackets: stats.sent,
      receivedPackets: stats.recv,
      lostPackets: stats.lost,
      paths: 1 + this.#address.moves,
    };
  }

  quietMs(): number {
    this.#noteHeard();
    return this.#owner.nowMs() - this.#heardMs;
  }

  /** Asks the peer for a sign of life: after a change of our address, and to keep a NAT open. */
  ping(): void {
    if (this.#over !== undefined || !this.isEstablished) return;
    this.#quiche.sendKeepAlive();
    this.#owner.wake(this);
  }

  /** Takes in one datagram. What is not authentic changes nothing. */
  receive(datagram: Uint8Array, host: string, port: number): void {
    const key = this.#looseKey;
    const expected = this.#address.is(host, port);
    // A client's server does not move, and nobody moves during the handshake. A challenge from
    // elsewhere least of all: with its answer a thief of packets could move us to himself.
    if (!expected && (this.side === "client" || key === undefined)) return;
    if (key !== undefined && this.#isLooseMessage(datagram, { host, port }, key)) return;
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
      this.#receivedMs = this.#owner.nowMs();
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
    this.#stall.note(writersWaiting, sentBytes, this.#owner.nowMs(), () => this.#rttMs());
  }

  /** Writes the next datagram into `slot` and gives its length, or null when there is none. */
  send(slot: Uint8Array): number | null {
    if (this.#over !== undefined && this.#sentAfterEnd++ > quicLimits.packetsAfterEndMax)
      return null;
    if (this.#heldUntilMs !== 0 && this.#heldUntilMs > this.#owner.nowMs()) return null;
    this.#readBytes = 0;
    try {
      return this.#quiche.send(slot);
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
    if (this.#heldUntilMs > now) return this.#heldUntilMs;
    const timeoutMs = this.#quiche.timeoutMs();
    const quicheAtMs = timeoutMs === null ? Number.POSITIVE_INFINITY : now + timeoutMs;
    if (this.#over !== undefined) return quicheAtMs;
    const ownAtMs = this.isEstablished ? this.#keepAliveAtMs : this.#handshakeDeadlineMs;
    return Math.min(quicheAtMs, ownAtMs, this.#stall.dueMs);
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
    }
    this.#owner.wake(this);
  }

  /** The socket is gone: no goodbye is possible. */
  abandon(reason: CloseReason): void {
    this.#finish(reason);
  }

  #checkEstablished(): void {
    if (!this.#quiche.isEstablished()) return;
    const problem = this.#handshakeProblem();
    if (problem === null) {
      if (this.#setup.keepAliveMs > 0) {
        this.#keepAliveAtMs = this.#owner.nowMs() + this.#setup.keepAliveMs;
      }
      if (this.side === "client") this.#ballast.begin();
      this.#owner.established(this);
      return;
    }
    this.#channelBinding = undefined;
    this.#closeQuiche(false, connectionRefused, "");
    this.#finish({ kind: "transport", code: connectionRefused, reason: problem });
  }

  /** What makes a finished handshake worthless to us, or null. Fills in what it yielded. */
  #handshakeProblem(): string | null {
    const keys = this.#setup.keylog.exports();
    this.#setup.keylog.close();
    const alpn = Buffer.from(this.#quiche.applicationProtocol()).toString("latin1");
    if (alpn !== this.#setup.alpn) return "wrong application protocol";
    if (this.#quiche.isResumed()) return "resumed session";
    if (this.#quiche.isInEarlyData()) return "early data";
    if (keys === null) return "no channel binding";
    const own = this.#setup.ownCertificate;
    this.#certificates = own === undefined ? this.#quiche.peerCertificates() : [own];
    const [leaf] = this.#certificates;
    if (leaf === undefined) return "no certificate";
    if (leaf.byteLength > quicLimits.certificateBytesMax) return "oversized certificate";
    this.#channelBinding = keys.channelBinding;
    this.#looseKey = keys.addressKey;
    return null;
  }

  /**
   * The old address is most likely dead. What goes there meanwhile would be lost and come again only
   * after a timeout, so nothing is sent for about the time the answer takes.
   */
  #challenge(from: SocketAddress): void {
    const now = this.#owner.nowMs();
    const challenge = this.#address.noteAuthentic(from, now);
    if (challenge === null) return;
    this.#sendLooseMessage("challenge", challenge.number, from);
    if (!challenge.first || now < this.#holdFromMs) return;
    this.#heldUntilMs = now + Math.min(quicLimits.holdMsMax, this.#answerMs());
    this.#holdFromMs = now + quicLimits.holdEveryMs;
  }

  #answerMs(): number {
    return 20 + 2 * this.#rttMs();
  }

  #rttMs(): number {
    return this.#quiche.paths()[0]?.rtt ?? 0;
  }

  #isLooseMessage(datagram: Uint8Array, from: SocketAddress, key: Uint8Array): boolean {
    const kind = this.side === "client" ? "challenge" : "answer";
    const number = openLooseMessage(kind, key, datagram);
    if (number === null) return this.#isBlockedMessage(datagram, key);
    if (this.side === "client") this.#sendLooseMessage("answer", number, from);
    else if (this.#address.noteAnswer(from, number)) {
      this.#heldUntilMs = 0;
      this.#holdFromMs = 0;
      this.ping();
    }
    return true;
  }

  #isBlockedMessage(datagram: Uint8Array, key: Uint8Array): boolean {
    const kind = this.side === "client" ? "machine-blocked" : "client-blocked";
    const number = openLooseMessage(kind, key, datagram);
    if (number === null) return false;
    if (this.#ballast.release(Buffer.from(number).readBigUInt64BE())) this.#owner.wake(this);
    return true;
  }

  /** Perhaps the peer only does not read; if a grant was lost, it will send another one. */
  #sayBlocked(nowMs: number): void {
    this.#stall.ring(nowMs);
    const number = Buffer.alloc(looseNumberBytes);
    number.writeBigUInt64BE(this.#ballast.nextBlocked());
    this.#sendLooseMessage(
      this.side === "client" ? "client-blocked" : "machine-blocked",
      number,
      this.remoteAddress,
    );
  }

  #sendLooseMessage(kind: LooseMessage, number: Uint8Array, to: SocketAddress): void {
    if (this.#looseKey === undefined) return;
    const receiver = this.#quiche.destinationId();
    this.#owner.sendLoose(looseMessage(kind, this.#looseKey, receiver, number), to);
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

  #closeQuiche(application: boolean, code: number, reason: string): void {
    const text = Buffer.from(reason, "utf8").subarray(0, quicLimits.closeReasonBytesMax);
    try {
      this.#quiche.close(application, code, text);
    } catch (error) {
      quicheError(error);
    }
  }

  /** A datagram proves nothing; a packet that quiche counted does. */
  #noteHeard(): void {
    const packets = this.#quiche.stats().recv;
    if (packets === this.#countedPackets) return;
    this.#countedPackets = packets;
    this.#heardMs = this.#receivedMs;
  }
}

/** CONNECTION_REFUSED (RFC 9000, 20.1). */
const connectionRefused = 2;
