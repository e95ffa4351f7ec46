import { ProtocolError } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * Stdin of one client in one session, exact over any number of connections.
 *
 *   0 ....... acknowledged ------- received ------- sent ------- written
 *     forgotten         with the server      on the way     kept by the client
 *
 * The client keeps all from `acknowledged` on. After a reconnect the server names `received` and the
 * client sends from there. `acknowledged` moves when the process took the bytes: that is the window.
 */
export class InputReceiver {
  readonly #windowBytes: number;
  #received = 0;
  #taken = 0;
  #ended = false;

  constructor(windowBytes: number = limits.stdinWindowBytes) {
    this.#windowBytes = windowBytes;
  }

  /** Where the client goes on sending: `stdin_offset` of the reply. */
  get receivedOffset(): number {
    return this.#received;
  }

  /** What the process has taken: the offset of the next `stdin-ack`. */
  get takenOffset(): number {
    return this.#taken;
  }

  /** The client has ended its stdin and all of it arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * The part of `bytes` not seen before, possibly empty, for the process. Throws `ProtocolError` for
   * a hole, for bytes after the end and for more than the window.
   */
  receive(offset: number, bytes: Uint8Array): Uint8Array {
    if (offset > this.#received)
      throw new ProtocolError(`Stdin jumps from ${this.#received} to ${offset}`);
    const fresh = bytes.subarray(Math.min(bytes.length, this.#received - offset));
    if (fresh.length === 0) return fresh;
    if (this.#ended) throw new ProtocolError("Stdin after its end");
    if (this.#received + fresh.length - this.#taken > this.#windowBytes)
      throw new ProtocolError(`More than ${this.#windowBytes} bytes of stdin ahead of the process`);
    this.#received += fresh.length;
    return fresh;
  }

  /** The client's stdin is `totalBytes` long. Throws `ProtocolError` if that is not what arrived. */
  end(totalBytes: number): void {
    if (totalBytes !== this.#received)
      throw new ProtocolError(`Stdin ends at ${totalBytes}, but ${this.#received} bytes arrived`);
    this.#ended = true;
  }

  /** The process (or nobody, because it closed its stdin) took the next `byteCount` bytes. */
  taken(byteCount: number): void {
    if (this.#taken + byteCount > this.#received)
      throw new RangeError("More stdin taken than received");
    this.#taken += byteCount;
  }
}

/** The client's half: keeps what may have to be sent again. */
export class InputSender {
  readonly #windowBytes: number;
  readonly #chunks: Chunk[] = [];
  /** Offset of the first kept byte. */
  #kept = 0;
  #acknowledged = 0;
  #sent = 0;
  #written = 0;
  #ended = false;
  #endSent = false;

  constructor(windowBytes: number = limits.stdinWindowBytes) {
    this.#windowBytes = windowBytes;
  }

  /** How much `write` takes now; at 0 the source is not read. */
  get roomBytes(): number {
    return this.#ended ? 0 : this.#acknowledged + this.#windowBytes - this.#written;
  }

  /** True after `end`: nothing more is written. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The server's process has all that was written. */
  get isTaken(): boolean {
    return this.#acknowledged === this.#written;
  }

  /** Keeps `bytes`, large ones without a copy: they must not change any more. Throws `RangeError` beyond `roomBytes`. */
  write(bytes: Uint8Array): void {
    if (bytes.length > this.roomBytes) throw new RangeError("More stdin than there is room for");
    if (bytes.length === 0) return;
    this.#keep(bytes);
    this.#written += bytes.length;
  }

  /** No more will be written. */
  end(): void {
    this.#ended = true;
  }

  /** The next to be sent on this connection, or undefined when there is nothing now. */
  next(bytesMax: number = limits.dataBytesMax): InputSend | undefined {
    if (this.#sent < this.#written) {
      const bytes = this.#bytesAt(this.#sent, bytesMax);
      const offset = this.#sent;
      this.#sent += bytes.length;
      return { kind: "stdin", offset, bytes };
    }
    if (!this.#ended || this.#endSent) return undefined;
    this.#endSent = true;
    return { kind: "stdin-end", offset: this.#written };
  }

  /** The server's process has all before `offset`. Throws `ProtocolError` for what was never sent. */
  acknowledge(offset: number): void {
    if (offset > this.#sent)
      throw new ProtocolError(`Stdin acknowledged to ${offset}, but sent to ${this.#sent}`);
    if (offset <= this.#acknowledged) return;
    this.#acknowledged = offset;
    this.#forgetBefore(offset);
  }

  /** A new connection: the server has all before `offset`. Throws `ProtocolError` if that cannot be so. */
  resume(offset: number): void {
    if (offset < this.#acknowledged || offset > this.#sent)
      throw new ProtocolError(
        `Stdin resumes at ${offset}, outside ${this.#acknowledged} to ${this.#sent}`,
      );
    this.#sent = offset;
    this.#endSent = false;
  }

  /** Keystrokes share a chunk, else a window of single bytes would weigh a hundred times its size. */
  #keep(bytes: Uint8Array): void {
    const last = this.#chunks.at(-1);
    if (bytes.length >= chunkBytesMin) {
      this.#chunks.push({ bytes, used: bytes.length });
    } else if (last !== undefined && last.used + bytes.length <= last.bytes.length) {
      last.bytes.set(bytes, last.used);
      last.used += bytes.length;
    } else {
      const chunk = { bytes: new Uint8Array(chunkBytesMin), used: bytes.length };
      chunk.bytes.set(bytes);
      this.#chunks.push(chunk);
    }
  }

  #bytesAt(offset: number, bytesMax: number): Uint8Array {
    let start = this.#kept;
    for (const chunk of this.#chunks) {
      const from = offset - start;
      if (from < chunk.used)
        return chunk.bytes.subarray(from, Math.min(chunk.used, from + bytesMax));
      start += chunk.used;
    }
    throw new RangeError(`No stdin is kept at ${offset}`);
  }

  /** Whole chunks only, so the first kept byte may lie a little before `offset`. */
  #forgetBefore(offset: number): void {
    let count = 0;
    for (const chunk of this.#chunks) {
      if (this.#kept + chunk.used > offset) break;
      this.#kept += chunk.used;
      count += 1;
    }
    this.#chunks.splice(0, count);
  }
}

interface Chunk {
  readonly bytes: Uint8Array;
  used: number;
}

const chunkBytesMin = 4 * 1024;

export type InputSend =
  | { readonly kind: "stdin"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "stdin-end"; readonly offset: number };
