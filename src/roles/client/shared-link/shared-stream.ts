import { type ByteStream, StreamError } from "../../../protocol/byte-stream.ts";
import { WireError } from "../../../protocol/errors.ts";
import { clientLimits } from "../limits.ts";
import {
  DataFrame,
  decodeNumber,
  encodeNumber,
  encodeSharedFrame,
  type SharedFrame,
  type SharedFrames,
  sharedFrameTypes,
} from "./shared-frame.ts";

/**
 * A stream of the machine over a Unix socket of its own. Each side sends only what the other has
 * granted, so both always read: a reset is seen at once even where nobody takes the data.
 */
export class SharedStream implements ByteStream {
  readonly #frames: SharedFrames;
  readonly #chunks: Uint8Array[] = [];
  #queuedBytes = 0;
  #takenBytes = 0;
  #roomBytes: number = clientLimits.linkWindowBytes;
  #hasEnded = false;
  #peerEnded = false;
  #failure: StreamError | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #writes: Promise<void> = Promise.resolve();
  #bulk: DataFrame | undefined;
  readonly #over = Promise.withResolvers<void>();

  constructor(frames: SharedFrames) {
    this.#frames = frames;
    void this.#receiveAll();
  }

  /** The other side is done with the socket, or gone. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#taken(chunk.length);
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#peerEnded) return null;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    // One after the other: what waits for room must not be overtaken.
    const turn = this.#writes.then(() => this.#writeAll(bytes));
    this.#writes = turn.catch(() => undefined);
    await turn;
  }

  async end(): Promise<void> {
    await this.#writes;
    if (this.#hasEnded || this.#failure !== undefined) return;
    this.#hasEnded = true;
    await this.#send(encodeSharedFrame(sharedFrameTypes.end));
    await this.#leave();
  }

  abort(code: number): void {
    if (this.#failure !== undefined) return;
    const isOver = this.#hasEnded && this.#peerEnded;
    this.#fail(new StreamError("aborted", "The stream was given up here"));
    if (isOver) return;
    this.#frames
      .write(encodeNumber(sharedFrameTypes.reset, code))
      .then(() => this.#frames.end())
      .catch(() => undefined);
  }

  /** The connection behind it is lost: the socket closes without a word, which says just that. */
  lose(): void {
    this.#fail(new StreamError("connection-lost", "The connection was lost"));
    this.#frames.close();
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let from = 0;
    while (from < bytes.length) {
      if (this.#failure !== undefined) throw asWriter(this.#failure);
      if (this.#hasEnded) throw new StreamError("aborted", "The stream was ended here");
      const length = Math.min(bytes.length - from, this.#roomBytes, clientLimits.linkDataBytesMax);
      if (length === 0) {
        await new Promise<void>((resolve) => {
          this.#wakeWriter = resolve;
        });
        continue;
      }
      this.#roomBytes -= length;
      await this.#send(this.#dataFrame(bytes.subarray(from, from + length)));
      from += length;
    }
  }

  /** Bulk in memory that is used again; the many streams of which each says little keep none. */
  #dataFrame(bytes: Uint8Array): Uint8Array {
    if (bytes.length < bulkBytesMin) return encodeSharedFrame(sharedFrameTypes.data, bytes);
    this.#bulk ??= new DataFrame();
    return this.#bulk.of(bytes);
  }

  async #receiveAll(): Promise<void> {
    try {
      for (;;) {
        const frame = await this.#frames.read();
        if (frame === null) break;
        this.#receive(frame);
      }
      if (!this.#hasEnded || !this.#peerEnded) this.#fail(lost());
    } catch (error) {
      this.#fail(error instanceof StreamError ? lost() : new StreamError("reset", String(error)));
      this.#frames.close();
    } finally {
      await this.#frames.end().catch(() => undefined);
      this.#over.resolve();
    }
  }

  /** Throws `WireError`. */
  #receive(frame: SharedFrame): void {
    // Given up here: what was on its way is nobody's.
    if (this.#failure !== undefined) return;
    switch (frame.type) {
      case sharedFrameTypes.data:
        this.#queue(frame.payload);
        return;
      case sharedFrameTypes.end:
        this.#peerEnded = true;
        this.#wakeReader?.();
        this.#leave().catch(() => undefined);
        return;
      case sharedFrameTypes.grant:
        this.#roomBytes += decodeNumber(frame);
        this.#wakeWriter?.();
        return;
      case sharedFrameTypes.reset: {
        const code = decodeNumber(frame);
        this.#fail(new StreamError("reset", `The stream was reset with ${code}`, code));
        this.#frames.end().catch(() => undefined);
        return;
      }
      case sharedFrameTypes.message:
        throw new WireError("A message within a stream");
    }
  }

  #queue(bytes: Uint8Array): void {
    this.#queuedBytes += bytes.length;
    if (this.#peerEnded || this.#queuedBytes > clientLimits.linkWindowBytes)
      throw new WireError("More data than was granted");
    if (bytes.length > 0) this.#chunks.push(bytes);
    this.#wakeReader?.();
  }

  #taken(length: number): void {
    this.#takenBytes += length;
    if (this.#takenBytes < clientLimits.linkWindowBytes / 4 || this.#peerEnded) return;
    const granted = this.#takenBytes;
    this.#takenBytes = 0;
    this.#queuedBytes -= granted;
    this.#frames.write(encodeNumber(sharedFrameTypes.grant, granted)).catch(() => undefined);
  }

  async #send(frame: Uint8Array): Promise<void> {
    try {
      await this.#frames.write(frame);
    } catch (error) {
      throw this.#failure === undefined || !(error instanceof StreamError)
        ? lost()
        : asWriter(this.#failure);
    }
  }

  /** Both directions are through. */
  async #leave(): Promise<void> {
    if (this.#hasEnded && this.#peerEnded) await this.#frames.end();
  }

  #fail(failure: StreamError): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    // What came before a loss is still good, as with any stream; a reset takes it along.
    if (failure.kind !== "connection-lost") this.#chunks.length = 0;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }
}

const bulkBytesMin = 16 * 1024;

function lost(): StreamError {
  return new StreamError("connection-lost", "The background link is gone");
}

/** A reset is to the writer that nobody reads any more. */
function asWriter(failure: StreamError): StreamError {
  return failure.kind === "reset"
    ? new StreamError("stopped", failure.message, failure.resetCode)
    : failure;
}
