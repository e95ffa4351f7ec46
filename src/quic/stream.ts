import { type ByteStream, StreamError } from "../protocol/byte-stream.ts";
import type { GivenUpStream } from "./given-up.ts";
import { quicLimits } from "./limits.ts";
import type { QuicheConnection } from "./quiche-connection.ts";
import { type QuicheError, quicheError } from "./quiche-error.ts";

/** What a stream needs of its connection. */
export interface StreamOwner {
  readonly quiche: QuicheConnection;
  /** Shared by all streams; its contents are copied out before anything else runs. */
  readonly chunk: Uint8Array;
  /** There is something to send. */
  wake(): void;
  /** quiche took bytes to send. */
  sent(bytes: number): void;
  /** Bytes were read, and the peer may be told so. */
  consumed(bytes: number): void;
  /** The stream wants to write and waits for its turn. */
  writerWaits(stream: QuicStream): void;
  readonly writersWaiting: boolean;
  /** Reads what nobody wants. */
  discard(id: number): void;
  gaveUp(stream: GivenUpStream): void;
  /** Neither half will be used again. */
  finished(stream: QuicStream): void;
}

interface Reader {
  readonly resolve: (bytes: Uint8Array | null) => void;
  readonly reject: (error: Error) => void;
}

interface Writer {
  readonly bytes: Uint8Array;
  at: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * One QUIC stream with pull semantics: bytes stay in quiche, under its flow control, until somebody
 * reads, and a write waits until quiche has taken it. Nothing is queued here.
 * On the wire each half ends with one more byte, the end marker below.
 */
export class QuicStream implements ByteStream {
  readonly id: number;
  readonly #owner: StreamOwner;
  #reader: Reader | undefined;
  #writer: Writer | undefined;
  #readEnded = false;
  #readError: StreamError | undefined;
  #writeError: StreamError | undefined;
  #finWanted = false;
  #finSent = false;
  #finWaiters: Omit<Writer, "bytes" | "at">[] = [];

  constructor(id: number, owner: StreamOwner) {
    this.id = id;
    this.#owner = owner;
  }

  read(): Promise<Uint8Array | null> {
    if (this.#reader !== undefined) throw new TypeError("One read at a time");
    const got = this.#pull();
    if (got instanceof StreamError) return Promise.reject(got);
    if (got !== undefined) return Promise.resolve(got);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  /** The connection saw that there is something to read. */
  handleReadable(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    const got = this.#pull();
    if (got === undefined) return;
    this.#reader = undefined;
    if (got instanceof StreamError) reader.reject(got);
    else reader.resolve(got);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#writer !== undefined) throw new TypeError("One write at a time");
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError);
    if (this.#finWanted)
      return Promise.reject(new StreamError("aborted", "The stream was written after its end"));
    if (bytes.byteLength === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writer = { bytes, at: 0, resolve, reject };
      if (this.#owner.writersWaiting || this.pump(bytes.byteLength) === "blocked") {
        this.#owner.writerWaits(this);
      }
    });
  }

  end(): Promise<void> {
    if (this.#finSent) return Promise.resolve();
    if (this.#writeError !== undefined) return Promise.reject(this.#writeError);
    return new Promise((resolve, reject) => {
      this.#finWaiters.push({ resolve, reject });
      if (this.#finWanted) return;
      this.#finWanted = true;
      // A write that still waits has its turn in the owner's list, and brings the end along.
      if (this.#writer !== undefined) return;
      if (this.#owner.writersWaiting || this.pump(1) === "blocked") this.#owner.writerWaits(this);
    });
  }

  abort(code: number): void {
    const hasEnded = !this.#isWriting;
    if (this.#isReading || !hasEnded)
      this.#owner.gaveUp({ id: this.id, code, byPeer: false, hasEnded });
    if (this.#isReading) this.#owner.discard(this.id);
    this.fail(new StreamError("aborted", "The stream was given up"));
    this.#owner.wake();
  }

  /** The peer gave the stream up. A half of it that has ended well is read to its end all the same. */
  handleGivenUp({ code, hasEnded }: Pick<GivenUpStream, "code" | "hasEnded">): void {
    if (this.#isWriting) {
      this.#owner.gaveUp({ id: this.id, code, byPeer: true, hasEnded: false });
      this.#failWriting(new StreamError("stopped", stoppedWords, code));
    }
    if (this.#isReading && !hasEnded) {
      this.#owner.discard(this.id);
      this.fail(new StreamError("reset", givenUpWords, code));
    } else this.#checkFinished();
    this.#owner.wake();
  }

  get #isReading(): boolean {
    return !this.#readEnded && this.#readError === undefined;
  }

  get #isWriting(): boolean {
    return !this.#finSent && this.#writeError === undefined;
  }

  /** Ends whatever is not ended yet. */
  fail(error: StreamError): void {
    if (!this.#readEnded) this.#readError ??= error;
    if (!this.#finSent) this.#failWriting(error);
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.reject(error);
    this.#checkFinished();
  }

  /** Of the write that waits, or the end. */
  get waitingBytes(): number {
    return this.#writer === undefined ? 1 : this.#writer.bytes.byteLength - this.#writer.at;
  }

  /** Hands at most `quantum` bytes of the waiting write to quiche. */
  pump(quantum: number): "done" | "more" | "blocked" {
    const writer = this.#writer;
    if (writer === undefined) return this.#finWanted ? this.#pumpEnd() : "done";
    const end = Math.min(writer.bytes.byteLength, writer.at + quantum);
    const sent = this.#send(writer.bytes.subarray(writer.at, end), false);
    if (sent === undefined) return "done";
    writer.at += sent;
    if (writer.at < writer.bytes.byteLength) return writer.at < end ? "blocked" : "more";
    this.#writer = undefined;
    writer.resolve();
    return this.#finWanted ? this.#pumpEnd() : "done";
  }

  /**
   * Bytes that quiche took, or undefined when the half is lost. It is never offered more than it has
   * room for: at the connection's limit quiche 0.18 would answer each offer with a DATA_BLOCKED, the
   * peer that with an ACK, and the ACK would bring us here again, thousands of times a second.
   */
  #send(bytes: Uint8Array, fin: boolean): number | undefined {
    const { quiche } = this.#owner;
    try {
      const room = quiche.streamRoom(this.id);
      if (room === 0) return 0;
      const part = bytes.subarray(0, room);
      const sent =
        quiche.streamSend(this.id, part, fin && part.byteLength === bytes.byteLength) ?? 0;
      if (sent > 0) this.#owner.sent(sent);
      return sent;
    } catch (error) {
      this.#failWriting(writeError(quicheError(error), this.#readError?.resetCode));
      this.#checkFinished();
      return undefined;
    }
  }

  #pumpEnd(): "done" | "blocked" {
    if (this.#finSent || this.#writeError !== undefined) return "done";
    const sent = this.#send(endMarker, true);
    if (sent === 0) return "blocked";
    if (sent === undefined) return "done";
    this.#finSent = true;
    for (const waiter of this.#finWaiters.splice(0)) waiter.resolve();
    this.#checkFinished();
    return "done";
  }

  #failWriting(error: StreamError): void {
    this.#writeError ??= error;
    const writer = this.#writer;
    this.#writer = undefined;
    writer?.reject(error);
    for (const waiter of this.#finWaiters.splice(0)) waiter.reject(error);
  }

  /** The next bytes, null at the end, an error, or undefined when there is nothing yet. */
  #pull(): Uint8Array | null | StreamError | undefined {
    if (this.#readError !== undefined) return this.#readError;
    if (this.#readEnded) return null;
    const { chunk } = this.#owner;
    let length = 0;
    while (length < chunk.byteLength) {
      // Part after part: the connection must be able to send in between (see `consumed`).
      const part = chunk.subarray(length, length + quicLimits.readBytesBeforeSend);
      const got = this.#receive(part);
      length += got;
      if (got < part.byteLength) break;
    }
    if (length > 0) return chunk.slice(0, length);
    return this.#readError ?? (this.#readEnded ? null : undefined);
  }

  /** How many bytes came; fewer than there was room for when there are no more for now. */
  #receive(into: Uint8Array): number {
    try {
      const got = this.#owner.quiche.streamReceive(this.id, into);
      if (got === null) return 0;
      const [length, fin] = got;
      const bytes = fin ? this.#checkEnd(into, length) : length;
      this.#owner.consumed(length);
      return bytes;
    } catch (error) {
      this.#readError = readError(quicheError(error));
      this.#checkFinished();
      return 0;
    }
  }

  /** How many bytes there are before the end marker. */
  #checkEnd(last: Uint8Array, length: number): number {
    if (last[length - 1] === endMarker[0]) this.#readEnded = true;
    else this.#readError = new StreamError("reset", "The stream ended without its end marker");
    this.#checkFinished();
    return Math.max(0, length - 1);
  }

  #checkFinished(): void {
    if (!this.#isReading && !this.#isWriting) this.#owner.finished(this);
  }
}

function readError({ name, code }: QuicheError): StreamError {
  if (name === "StreamReset") return new StreamError("reset", givenUpWords, code);
  return new StreamError("aborted", `The stream cannot be read (${name})`);
}

/** `resetCode` of the other half stands in where quiche no longer knows the stream: an abort gives both the same. */
function writeError({ name, code }: QuicheError, resetCode: number | undefined): StreamError {
  if (name === "StreamStopped" || name === "InvalidStreamState") {
    const stopCode = name === "StreamStopped" ? code : resetCode;
    return new StreamError("stopped", stoppedWords, stopCode);
  }
  return new StreamError("aborted", `The stream cannot be written (${name})`);
}

const givenUpWords = "The peer gave the stream up";
const stoppedWords = "The peer does not want more";

/**
 * The last byte of each half, sent together with FIN and taken off again by the reader. quiche 0.18
 * forgets a stream once all its bytes are acknowledged, and then never repeats a FIN that travelled
 * alone and was lost: the peer would wait for the end for ever. A byte that carries the FIN makes
 * sure of both.
 */
const endMarker = Uint8Array.of(0);
