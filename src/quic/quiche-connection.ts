import quiche from "@matrixai/quic/native/quiche.js";
import type {
  Config,
  Connection,
  ConnectionError,
  Host,
  RecvInfo,
  Stats,
} from "@matrixai/quic/native/types.js";
import {
  checkBoolean,
  checkBytes,
  checkDescriptorPath,
  checkHost,
  checkInteger,
  checkPort,
} from "./argument.ts";
import { quicLimits } from "./limits.ts";

export type { ConnectionError, RecvInfo };

/**
 * A native connection behind range checks. Every call of the program into the native half goes
 * through this class, `quiche-config.ts` or `quiche-packet.ts`; errors of quiche itself arrive as
 * exceptions whose message is the name of quiche's error.
 */
export class QuicheConnection {
  readonly #native: Connection;

  private constructor(native: Connection) {
    this.#native = native;
  }

  static connect(scid: Uint8Array, local: Host, remote: Host, config: Config): QuicheConnection {
    checkIds(scid, local, remote);
    return new QuicheConnection(quiche.Connection.connect(null, scid, local, remote, config));
  }

  /** `originalDcid` is given only after a Retry. */
  static accept(ids: AcceptIds, local: Host, remote: Host, config: Config): QuicheConnection {
    checkIds(ids.scid, local, remote);
    if (ids.originalDcid !== undefined) {
      checkBytes("original dcid", ids.originalDcid, 0, quicLimits.connectionIdBytesMax);
    }
    const original = ids.originalDcid ?? null;
    return new QuicheConnection(
      quiche.Connection.accept(ids.scid, original, local, remote, config),
    );
  }

  /** Only before the first datagram. */
  setKeylog(path: string): void {
    this.#native.setKeylog(checkDescriptorPath("keylog", path));
  }

  /** Decrypts in place, so `datagram` is spoilt afterwards. `info` comes from `pathInfo`. */
  receive(datagram: Uint8Array, info: RecvInfo): void {
    if (datagram.byteLength === 0 || datagram.byteLength > quicLimits.datagramBytesMax) return;
    this.#native.recv(datagram, info);
  }

  /** Writes the next datagram into `slot` and gives its length, or null when there is none. */
  send(slot: Uint8Array): number | null {
    checkBytes("slot", slot, quicLimits.initialDatagramBytesMin, quicLimits.datagramBytesMax);
    return this.#native.send(slot)?.[0] ?? null;
  }

  streamReceive(id: number, into: Uint8Array): [number, boolean] | null {
    checkBytes("chunk", into, 1, 2 ** 31 - 1);
    return this.#native.streamRecv(checkStreamId(id), into);
  }

  /** How many of `bytes` quiche took; null when the stream or the connection has no room. */
  streamSend(id: number, bytes: Uint8Array, fin: boolean): number | null {
    checkBytes("bytes", bytes, 0, 2 ** 31 - 1);
    return this.#native.streamSend(checkStreamId(id), bytes, checkBoolean("fin", fin));
  }

  /** Room of the stream. Throws for one that is stopped or forgotten, which `streamSend` calls full. */
  streamRoom(id: number): number {
    return this.#native.streamCapacity(checkStreamId(id));
  }

  /** Tells the peer to stop sending. */
  stopReading(id: number, code: number): void {
    this.#native.streamShutdown(checkStreamId(id), quiche.Shutdown.Read, checkCode(code));
  }

  /** Resets our half. */
  resetWriting(id: number, code: number): void {
    this.#native.streamShutdown(checkStreamId(id), quiche.Shutdown.Write, checkCode(code));
  }

  streamFinished(id: number): boolean {
    return this.#native.streamFinished(checkStreamId(id));
  }

  readableStreams(): Iterable<number> {
    return this.#native.readable();
  }

  peerStreamsLeft(): number {
    return this.#native.peerStreamsLeftBidi();
  }

  close(application: boolean, code: number, reason: Uint8Array): void {
    checkBytes("reason", reason, 0, quicLimits.closeReasonBytesMax);
    this.#native.close(checkBoolean("application", application), checkCode(code), reason);
  }

  // No arguments, so nothing to check.
  timeoutMs = (): number | null => this.#native.timeout();
  onTimeout = (): void => this.#native.onTimeout();
  paths = (): ReturnType<Connection["pathStats"]> => this.#native.pathStats();
  sendKeepAlive = (): void => this.#native.sendAckEliciting();
  applicationProtocol = (): Uint8Array => this.#native.applicationProto();
  peerCertificates = (): readonly Uint8Array[] => this.#native.peerCertChain() ?? [];
  /** The id of ours that the peer sends to. */
  sourceId = (): Uint8Array => this.#native.sourceId();
  destinationId = (): Uint8Array => this.#native.destinationId();
  isEstablished = (): boolean => this.#native.isEstablished();
  isResumed = (): boolean => this.#native.isResumed();
  isInEarlyData = (): boolean => this.#native.isInEarlyData();
  isDraining = (): boolean => this.#native.isDraining();
  isClosed = (): boolean => this.#native.isClosed();
  isTimedOut = (): boolean => this.#native.isTimedOut();
  peerError = (): ConnectionError | null => this.#native.peerError();
  localError = (): ConnectionError | null => this.#native.localError();
  stats = (): Stats => this.#native.stats();
}

export interface AcceptIds {
  readonly scid: Uint8Array;
  readonly originalDcid: Uint8Array | undefined;
}

/** The checked form of a path; made once per path and reused for each of its datagrams. */
export function pathInfo(from: Host, to: Host): RecvInfo {
  return { from: checkAddress("from", from), to: checkAddress("to", to) };
}

function checkAddress(name: string, address: Host): Host {
  return { host: checkHost(name, address.host), port: checkPort(name, address.port) };
}

function checkIds(scid: Uint8Array, local: Host, remote: Host): void {
  checkBytes("scid", scid, 1, quicLimits.connectionIdBytesMax);
  checkAddress("local address", local);
  checkAddress("remote address", remote);
}

function checkStreamId(id: number): number {
  return checkInteger("stream id", id, 0, quicLimits.codeMax);
}

function checkCode(code: number): number {
  return checkInteger("code", code, 0, quicLimits.codeMax);
}
