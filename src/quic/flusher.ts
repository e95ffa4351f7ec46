import type { DatagramCarrier, DatagramGate } from "./carrier.ts";
import type { SocketAddress } from "./connection.ts";
import { quicLimits } from "./limits.ts";
import type { QuicConnection } from "./quic-connection.ts";
import { SendBatch } from "./send-batch.ts";

export interface FlusherOptions {
  readonly nowMs: () => number;
  readonly gate: DatagramGate | undefined;
  readonly carrier: () => DatagramCarrier | undefined;
  /** The connection has nothing more to say and was told of by its `closed`. */
  readonly gone: (connection: QuicConnection) => void;
}

/**
 * Sends for all connections once per event-loop turn: acknowledgements for everything a turn brought
 * go out together, and each connection has a budget, so that a busy one cannot starve the others.
 */
export class Flusher {
  readonly #options: FlusherOptions;
  readonly #batch = new SendBatch();
  readonly #timers = new Map<QuicConnection, Timer>();
  /** The last datagram of each connection that is over, until it is dropped or we are through. */
  readonly #goodbyes = new Map<QuicConnection, Uint8Array>();
  #awake = new Set<QuicConnection>();
  #scheduled = false;
  /** The socket was full: the batch waits, and nothing else is written meanwhile. */
  #stuck: ReturnType<typeof setTimeout> | undefined;
  #parting = false;
  #closed = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  wake(connection: QuicConnection): void {
    this.#awake.add(connection);
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => this.flushNow());
  }

  flushNow(): void {
    this.#scheduled = false;
    if (this.#closed || this.#stuck !== undefined) return;
    const turn = this.#awake;
    this.#awake = new Set();
    for (const connection of turn) {
      connection.handleReceived();
      if (this.#stuck === undefined) this.#send(connection);
      else this.#awake.add(connection);
      if (connection.isGone) this.drop(connection);
      else this.#armTimer(connection);
    }
  }

  /**
   * Sends for one connection in the middle of a turn. quiche 0.18 repeats a lost MAX_DATA only if
   * something was read since; a reader that empties the whole window before the grant goes out
   * would, if that one packet is lost, stop the connection for ever.
   */
  sendNow(connection: QuicConnection): void {
    if (this.#closed) return;
    if (this.#stuck === undefined) this.#send(connection);
    else this.#awake.add(connection);
  }

  /** A datagram that belongs to no connection. Lost when the socket is full. */
  sendLoose(datagram: Uint8Array, host: string, port: number): void {
    this.sendLooseBy(this.#options.carrier(), datagram, { host, port });
  }

  sendLooseBy(
    carrier: DatagramCarrier | undefined,
    datagram: Uint8Array,
    { host, port }: SocketAddress,
  ): void {
    if (this.#stuck !== undefined || this.#closed) return;
    this.#batch.load(datagram, host, port);
    carrier?.send(this.#batch);
    this.#batch.clear();
  }

  /** A datagram that arrives whole or not at all; nothing is sent where that cannot be asked for. */
  sendWhole(datagram: Uint8Array, { host, port }: SocketAddress): void {
    if (this.#stuck !== undefined || this.#closed) return;
    this.#batch.load(datagram, host, port);
    this.#options.carrier()?.sendWhole?.(this.#batch);
    this.#batch.clear();
  }

  /** Says again that we have closed, to those whose queue we may have filled: one goodbye is lost easily. */
  async repeatGoodbyes(connections: Iterable<QuicConnection>): Promise<void> {
    const leaving = [...connections].filter(mayLoseGoodbye);
    if (leaving.length === 0) return;
    this.#parting = true;
    for (let times = 0; times < quicLimits.goodbyeRepeats; times++) {
      await new Promise((resolve) => setTimeout(resolve, quicLimits.goodbyePauseMs));
      for (const connection of leaving) {
        const { host, port } = connection.remoteAddress;
        const goodbye = this.#goodbyes.get(connection);
        if (goodbye !== undefined) this.sendLoose(goodbye, host, port);
      }
    }
  }

  /** What waited for the old socket is lost, as if on the way. */
  carrierChanged(): void {
    this.#batch.clear();
    if (this.#stuck !== undefined) this.#retry();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#stuck);
    for (const { handle } of this.#timers.values()) clearTimeout(handle);
    this.#timers.clear();
    this.#awake.clear();
    this.#goodbyes.clear();
  }

  /** Forgets a connection, whatever it still had to say. */
  drop(connection: QuicConnection): void {
    clearTimeout(this.#timers.get(connection)?.handle);
    this.#timers.delete(connection);
    this.#awake.delete(connection);
    // quiche may be through with a connection before the first repetition.
    if (!this.#parting) this.#goodbyes.delete(connection);
    this.#options.gone(connection);
  }

  #send(connection: QuicConnection): void {
    const slotBytes = connection.datagramBytes;
    const { host, port } = connection.remoteAddress;
    for (let packets = 0; packets < quicLimits.packetsPerTurn; packets++) {
      const slot = this.#batch.slot(slotBytes);
      const sent = connection.send(slot);
      if (sent === null) {
        this.#sendBatch();
        return;
      }
      if (this.#sealed(slot, sent, host, port)) continue;
      // Always fits: same address, and never longer than its slot.
      this.#batch.add(sent, host, port);
      if (connection.closeReason !== undefined) this.#goodbyes.set(connection, slot.slice(0, sent));
      if (this.#batch.isFull) this.#sendBatch();
      if (this.#stuck !== undefined) break;
    }
    if (this.#stuck === undefined) this.#sendBatch();
    this.wake(connection);
  }

  /** Long headers only; true when the gate sent something else instead. */
  #sealed(slot: Uint8Array, bytes: number, host: string, port: number): boolean {
    const { gate } = this.#options;
    if (gate === undefined || ((slot[0] ?? 0) & 0x80) === 0) return false;
    const instead = gate.seal(slot.slice(0, bytes), { host, port });
    if (instead === null) return false;
    this.#sendBatch();
    if (this.#stuck === undefined) this.sendLoose(instead, host, port);
    return true;
  }

  #sendBatch(): void {
    const carrier = this.#options.carrier();
    if (carrier === undefined || this.#batch.count === 0 || carrier.send(this.#batch)) {
      this.#batch.clear();
      return;
    }
    this.#stuck = setTimeout(() => this.#retry(), quicLimits.socketRetryMs);
  }

  #retry(): void {
    clearTimeout(this.#stuck);
    this.#stuck = undefined;
    this.#sendBatch();
    if (this.#stuck === undefined && !this.#scheduled) this.flushNow();
  }

  /** One lazy timer per connection: it is moved only when it would ring too late. */
  #armTimer(connection: QuicConnection): void {
    const atMs = connection.deadlineMs();
    const timer = this.#timers.get(connection);
    if (timer !== undefined && timer.atMs <= atMs) return;
    clearTimeout(timer?.handle);
    this.#timers.delete(connection);
    if (atMs === Number.POSITIVE_INFINITY) return;
    // quiche rounds down to whole milliseconds; one more, or it would be asked too early.
    const delayMs = Math.max(0, atMs - this.#options.nowMs()) + 1;
    const handle = setTimeout(() => this.#ring(connection), delayMs);
    this.#timers.set(connection, { atMs, handle });
  }

  #ring(connection: QuicConnection): void {
    this.#timers.delete(connection);
    if (connection.deadlineMs() <= this.#options.nowMs()) {
      connection.handleTimeout();
      this.sendNow(connection);
    }
    this.#armTimer(connection);
  }
}

function mayLoseGoodbye(connection: QuicConnection): boolean {
  const isOurs = connection.isEstablished && connection.closeReason?.kind === "local";
  return isOurs && connection.stats().sentBytes >= quicLimits.goodbyeRepeatSentBytes;
}

interface Timer {
  readonly atMs: number;
  readonly handle: ReturnType<typeof setTimeout>;
}
