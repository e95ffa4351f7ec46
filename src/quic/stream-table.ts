import { StreamError } from "../protocol/byte-stream.ts";
import { type Ballast, ballastStream } from "./ballast.ts";
import { type CloseReason, ConnectionClosed } from "./connection.ts";
import type { GivenUpStream } from "./given-up.ts";
import { quicLimits } from "./limits.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { attempt } from "./quiche-error.ts";
import { QuicStream, type StreamOwner } from "./stream.ts";

interface Waiter<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** The streams of one connection: opening, accepting, and whose turn it is to write. */
export class StreamTable implements StreamOwner {
  readonly quiche: QuicheConnection;
  readonly chunk: Uint8Array;
  readonly wake: () => void;
  readonly consumed: (bytes: number) => void;
  readonly gaveUp: (stream: GivenUpStream) => void;
  /** All that quiche has taken from the streams so far. */
  sentBytes = 0;
  readonly #side: 0 | 1;
  readonly #ballast: Ballast;
  readonly #streams = new Map<number, QuicStream>();
  readonly #peerIds = new PeerStreamIds();
  /** At most as many as the peer may open. */
  readonly #accepted: QuicStream[] = [];
  readonly #acceptWaiters: Waiter<QuicStream | null>[] = [];
  readonly #openWaiters: Waiter<QuicStream>[] = [];
  #writers: QuicStream[] = [];
  /** Small writes had all the room of the last turn, while a large one waited. */
  #isLargesTurn = false;
  #nextId: number;
  #over: CloseReason | undefined;

  constructor(
    quiche: QuicheConnection,
    side: "client" | "server",
    ballast: Ballast,
    calls: Pick<StreamOwner, "wake" | "consumed" | "gaveUp">,
  ) {
    this.quiche = quiche;
    this.chunk = chunk;
    this.wake = calls.wake;
    this.consumed = calls.consumed;
    this.gaveUp = calls.gaveUp;
    this.#ballast = ballast;
    this.#side = side === "client" ? 0 : 1;
    this.#nextId = side === "client" ? ballastStream + 4 : 1;
  }

  get count(): number {
    return this.#streams.size;
  }

  get writersWaiting(): boolean {
    return this.#writers.length > 0;
  }

  sent(bytes: number): void {
    this.sentBytes += bytes;
    this.wake();
  }

  open(): Promise<QuicStream> {
    if (this.#over !== undefined) return Promise.reject(new ConnectionClosed(this.#over));
    if (this.#openWaiters.length === 0 && this.quiche.peerStreamsLeft() > 0) {
      return Promise.resolve(this.#open());
    }
    if (this.#openWaiters.length >= quicLimits.openWaitersMax) {
      return Promise.reject(new RangeError("Too many streams wait to be opened"));
    }
    return new Promise((resolve, reject) => this.#openWaiters.push({ resolve, reject }));
  }

  accept(): Promise<QuicStream | null> {
    const first = this.#accepted.shift();
    if (first !== undefined) return Promise.resolve(first);
    if (this.#over !== undefined) return Promise.resolve(null);
    if (this.#acceptWaiters.length >= quicLimits.openWaitersMax) {
      return Promise.reject(new RangeError("Too many wait for a stream"));
    }
    return new Promise((resolve, reject) => this.#acceptWaiters.push({ resolve, reject }));
  }

  /** After datagrams came in: wakes readers, takes in new streams, lets waiting openers go. */
  handleReceived(): void {
    for (const id of this.quiche.readableStreams()) {
      if (id === ballastStream) {
        this.#ballast.begin();
        continue;
      }
      const stream = this.#streams.get(id) ?? this.#adopt(id);
      if (stream === undefined) this.discard(id);
      else stream.handleReadable();
    }
    while (this.#openWaiters.length > 0 && this.quiche.peerStreamsLeft() > 0) {
      this.#openWaiters.shift()?.resolve(this.#open());
    }
  }

  /** The peer says so. One that nobody has taken in yet nobody will: it makes room for another. */
  handleGivenUp(stream: Omit<GivenUpStream, "byPeer">): void {
    const known = this.#streams.get(stream.id);
    if (known === undefined) return;
    const at = stream.hasEnded ? -1 : this.#accepted.indexOf(known);
    if (at !== -1) this.#accepted.splice(at, 1);
    known.handleGivenUp(stream);
  }

  /**
   * Small writes first, since somebody may wait for their answer; but where they had all the room of a turn, the
   * large ones come first in the next.
   */
  pumpWriters(): void {
    const small = this.#writers.filter(isSmall);
    const large = this.#writers.filter((stream) => !isSmall(stream));
    const [first, second] = this.#isLargesTurn ? [large, small] : [small, large];
    const before = this.sentBytes;
    const blocked = this.#pumpInTurns(first);
    const between = this.sentBytes;
    this.#writers = [...blocked, ...this.#pumpInTurns(second)];
    const isLeftOut = second.length > 0 && between > before && this.sentBytes === between;
    this.#isLargesTurn = isLeftOut && second === large;
  }

  /**
   * Round-robin, a quantum each, until quiche takes no more. One that is blocked by its own flow control
   * keeps its place, so that it is served first when it is free.
   */
  #pumpInTurns(writers: readonly QuicStream[]): QuicStream[] {
    let going = writers;
    const blocked: QuicStream[] = [];
    while (going.length > 0) {
      const again: QuicStream[] = [];
      for (const stream of going) {
        const state = stream.pump(quicLimits.writeQuantumBytes);
        if (state === "more") again.push(stream);
        else if (state === "blocked") blocked.push(stream);
      }
      going = again;
    }
    return blocked;
  }

  discard(id: number): void {
    const part = chunk.subarray(0, quicLimits.readBytesBeforeSend);
    attempt(() => {
      for (;;) {
        const [length, isEnd] = this.quiche.streamReceive(id, part) ?? [0, true];
        this.consumed(length);
        if (isEnd) return;
      }
    });
  }

  writerWaits(stream: QuicStream): void {
    this.#writers.push(stream);
    this.wake();
  }

  finished(stream: QuicStream): void {
    this.#streams.delete(stream.id);
  }

  failAll(reason: CloseReason): void {
    this.#over = reason;
    this.#writers = [];
    const error = new StreamError("connection-lost", new ConnectionClosed(reason).message);
    for (const stream of this.#streams.values()) stream.fail(error);
    this.#accepted.length = 0;
    for (const waiter of this.#acceptWaiters.splice(0)) waiter.resolve(null);
    for (const waiter of this.#openWaiters.splice(0)) waiter.reject(new ConnectionClosed(reason));
  }

  #open(): QuicStream {
    const id = this.#nextId;
    this.#nextId += 4;
    // An empty write makes quiche know the stream, and count it.
    this.quiche.streamSend(id, chunk.subarray(0, 0), false);
    return this.#add(id);
  }

  #adopt(id: number): QuicStream | undefined {
    const fromPeer = (id & 1) !== this.#side;
    if (!fromPeer || this.#over !== undefined || !this.#peerIds.isNew(id)) return undefined;
    const stream = this.#add(id);
    const waiter = this.#acceptWaiters.shift();
    if (waiter === undefined) this.#accepted.push(stream);
    else waiter.resolve(stream);
    return stream;
  }

  #add(id: number): QuicStream {
    const stream = new QuicStream(id, this);
    this.#streams.set(id, stream);
    return stream;
  }
}

function isSmall(stream: QuicStream): boolean {
  return stream.waitingBytes <= quicLimits.promptBytesMax;
}

/**
 * Tells a stream that is new from one that is over. Ids may arrive out of order; those skipped are
 * at most as many as the peer may have open.
 */
class PeerStreamIds {
  #next = -1;
  readonly #skipped = new Set<number>();

  isNew(id: number): boolean {
    if (this.#next === -1) this.#next = id & 3;
    if (id < this.#next) return this.#skipped.delete(id);
    for (; this.#next < id; this.#next += 4) this.#skipped.add(this.#next);
    this.#next = id + 4;
    return true;
  }
}

/** Shared by all connections: read and copied within one synchronous step. */
const chunk = new Uint8Array(quicLimits.readBytesMax);
