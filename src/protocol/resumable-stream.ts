import { WireError } from "./errors.ts";
import { type Frame, type FrameType, frameTypes, openFrame } from "./frame.ts";
import { limits } from "./limits.ts";
import { InputReceiver, InputSender } from "./session-input.ts";
import { Reader, Writer } from "./wire.ts";

/**
 * One end of a stream of bytes that outlives its connections: both ends are alike. Each keeps what
 * the other has not taken yet; after a lost connection each names what it has (`receivedOffset`),
 * the other goes on from there (`resume`), and no byte comes twice or not at all.
 */
export class ResumableStream {
  readonly #sender: InputSender;
  readonly #receiver: InputReceiver;
  readonly #ackBytes: number;
  #acknowledged = 0;
  #ackDue = false;

  constructor(options: { readonly windowBytes?: number; readonly ackBytes?: number } = {}) {
    const windowBytes = options.windowBytes ?? limits.resumableWindowBytes;
    this.#sender = new InputSender(windowBytes);
    this.#receiver = new InputReceiver(windowBytes);
    this.#ackBytes = options.ackBytes ?? limits.resumableAckBytes;
  }

  /** What we have of the other end's bytes, for it to go on from. */
  get receivedOffset(): number {
    return this.#receiver.receivedOffset;
  }

  /** How much `write` takes now; at 0 the source is not read. */
  get roomBytes(): number {
    return this.#sender.roomBytes;
  }

  /** Keeps `bytes`, at most `roomBytes`; they must not change any more. */
  write(bytes: Uint8Array): void {
    this.#sender.write(bytes);
  }

  end(): void {
    this.#sender.end();
  }

  /** A new connection: the other end has all before `offset`. Throws `ProtocolError` if that cannot be so. */
  resume(offset: number): void {
    this.#sender.resume(offset);
    // The last acknowledgement may have been lost with the connection.
    this.#ackDue = true;
  }

  /** What a frame of the other end means. Throws `WireError` or `ProtocolError`. */
  receive(frame: Frame): ResumableEvent {
    const reader = new Reader(frame.payload, "Stream frame");
    const offset = reader.u64();
    switch (frame.type) {
      case frameTypes.sshData:
        return { kind: "data", bytes: this.#receiver.receive(offset, reader.rest()) };
      case frameTypes.sshAck:
        reader.finish();
        this.#sender.acknowledge(offset);
        return { kind: "room" };
      case frameTypes.sshEnd:
        reader.finish();
        this.#receiver.end(offset);
        return { kind: "end" };
      default:
        throw new WireError(`Frame 0x${frame.type.toString(16)} in a resumable stream`);
    }
  }

  /** So many bytes of what `receive` gave have found their place: the other end may send as many more. */
  taken(byteCount: number): void {
    this.#receiver.taken(byteCount);
  }

  /** The next frame to send, or undefined until there is something. */
  poll(): Uint8Array<ArrayBuffer> | undefined {
    const taken = this.#receiver.takenOffset;
    if (this.#ackDue || taken - this.#acknowledged >= this.#ackBytes) {
      this.#acknowledged = taken;
      this.#ackDue = false;
      return encodeOffset(frameTypes.sshAck, taken);
    }
    const send = this.#sender.next();
    if (send === undefined) return undefined;
    if (send.kind === "stdin-end") return encodeOffset(frameTypes.sshEnd, send.offset);
    const { bytes, payload } = openFrame(frameTypes.sshData, 8 + send.bytes.length);
    payload.set(new Writer(8).u64(send.offset).finish());
    payload.set(send.bytes, 8);
    return bytes;
  }
}

export type ResumableEvent =
  /** To be passed on; empty when all of it came before. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** `roomBytes` may have grown. */
  | { readonly kind: "room" }
  /** Nothing more comes. */
  | { readonly kind: "end" };

function encodeOffset(type: FrameType, offset: number): Uint8Array<ArrayBuffer> {
  const { bytes, payload } = openFrame(type, 8);
  payload.set(new Writer(8).u64(offset).finish());
  return bytes;
}
