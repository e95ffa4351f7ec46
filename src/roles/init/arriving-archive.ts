import { ProtocolError } from "../../protocol/errors.ts";

/**
 * An archive that arrives over one stream after another. Each byte is taken once and in order: what
 * comes must begin where the last one ended. One chunk waits here, so the unpacker's pace is the sender's.
 */
export class ArrivingArchive implements AsyncIterable<Uint8Array> {
  #receivedBytes = 0;
  #waiting: Uint8Array | undefined;
  #ended = false;
  #change = Promise.withResolvers<void>();

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Only when there is room. Throws `ProtocolError` for bytes that came before, and for a hole. */
  take(offset: number, bytes: Uint8Array): void {
    if (this.#ended) throw new ProtocolError("Archive data after its end");
    if (offset !== this.#receivedBytes)
      throw new ProtocolError(
        `Archive data for offset ${offset}, the next one is ${this.#receivedBytes}`,
      );
    if (this.#waiting !== undefined) throw new RangeError("Archive data before there was room");
    this.#receivedBytes += bytes.length;
    this.#waiting = bytes;
    this.#changed();
  }

  /** All of it is here. Said again by a client that does not know whether it was heard. */
  end(): void {
    this.#ended = true;
    this.#changed();
  }

  async room(): Promise<void> {
    while (this.#waiting !== undefined) await this.#change.promise;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = this.#waiting;
      if (bytes !== undefined) {
        this.#waiting = undefined;
        this.#changed();
        yield bytes;
      } else if (this.#ended) {
        return;
      } else {
        await this.#change.promise;
      }
    }
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}
