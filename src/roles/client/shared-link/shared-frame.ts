import { StreamError } from "../../../protocol/byte-stream.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { WireError } from "../../../protocol/errors.ts";
import { clientLimits } from "../limits.ts";

/**
 * What client and background link say to each other over a Unix socket, which has neither resets nor
 * windows of its own: one byte of type, four of length (big-endian), the payload.
 *
 *     0x01 message   JSON, see link-message.ts
 *     0x02 data      bytes of a stream, within what was granted
 *     0x03 end       nothing more comes in this direction (FIN)
 *     0x04 reset     u32 code: both directions are given up
 *     0x05 grant     u32: so many bytes more may be sent
 *
 * A socket that closes before both ends were said is a lost connection.
 */
export const sharedFrameTypes = { message: 1, data: 2, end: 3, reset: 4, grant: 5 } as const;

export type SharedFrameType = (typeof sharedFrameTypes)[keyof typeof sharedFrameTypes];

export interface SharedFrame {
  readonly type: SharedFrameType;
  readonly payload: Uint8Array;
}

const headerBytes = 5;

function payloadBytesMax(type: number): number {
  switch (type) {
    case sharedFrameTypes.message:
      return clientLimits.linkMessageBytesMax;
    case sharedFrameTypes.data:
      return clientLimits.linkDataBytesMax;
    case sharedFrameTypes.end:
      return 0;
    case sharedFrameTypes.reset:
    case sharedFrameTypes.grant:
      return 4;
    default:
      throw new WireError(`Unknown frame type ${type} of a shared link`);
  }
}

export function encodeSharedFrame(
  type: SharedFrameType,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  if (payload.length > payloadBytesMax(type))
    throw new RangeError(`Frame ${type} of ${payload.length} bytes`);
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Frames of data, each in the memory of the one before. */
export class DataFrame {
  readonly #bytes = new Uint8Array(headerBytes + clientLimits.linkDataBytesMax);
  readonly #view = new DataView(this.#bytes.buffer);

  /** Throws `RangeError` where there are more bytes than go into one. */
  of(payload: Uint8Array): Uint8Array {
    this.#bytes[0] = sharedFrameTypes.data;
    this.#view.setUint32(1, payload.length);
    this.#bytes.set(payload, headerBytes);
    return this.#bytes.subarray(0, headerBytes + payload.length);
  }
}

export function encodeNumber(type: SharedFrameType, value: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, value);
  return encodeSharedFrame(type, payload);
}

export function decodeNumber({ payload }: SharedFrame): number {
  if (payload.length !== 4) throw new WireError("A number of a shared link has 4 bytes");
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/**
 * Frames over a Unix socket, in whatever slices they come. Data is given on in those slices, since putting
 * its frames together again would be one more copy of every byte.
 */
export class SharedFrames {
  readonly #socket: ByteStream;
  /** Of a data frame that has begun. */
  #dataBytes = 0;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(socket: ByteStream) {
    this.#socket = socket;
  }

  /** The next frame, or null when the socket was closed between two. Rejects with `WireError` or `StreamError`. */
  async read(): Promise<SharedFrame | null> {
    for (;;) {
      const frame = this.#take();
      if (frame !== undefined) return frame;
      const slice = await this.#socket.read();
      const isBetween = this.#rest.length === 0 && this.#dataBytes === 0;
      if (slice === null && isBetween) return null;
      if (slice === null) throw new StreamError("connection-lost", "It ended within a frame");
      this.#rest = this.#rest.length === 0 ? slice : Buffer.concat([this.#rest, slice]);
    }
  }

  async write(frame: Uint8Array): Promise<void> {
    await this.#socket.write(frame);
  }

  /** Nothing more is sent; what was is not lost. */
  async end(): Promise<void> {
    await this.#socket.end();
  }

  close(): void {
    this.#socket.abort(0);
  }

  #takeData(): SharedFrame | undefined {
    const payload = this.#rest.subarray(0, this.#dataBytes);
    if (payload.length === 0) return undefined;
    this.#dataBytes -= payload.length;
    this.#rest = this.#rest.subarray(payload.length);
    return { type: sharedFrameTypes.data, payload };
  }

  #take(): SharedFrame | undefined {
    if (this.#dataBytes > 0) return this.#takeData();
    const bytes = this.#rest;
    const type = bytes[0];
    if (type === undefined || bytes.length < headerBytes) return undefined;
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
    if (length > payloadBytesMax(type))
      throw new WireError(`Frame ${type} of a shared link has ${length} bytes`);
    const end = headerBytes + length;
    if (type === sharedFrameTypes.data && length > 0) {
      this.#dataBytes = length;
      this.#rest = bytes.subarray(headerBytes);
      return this.#takeData();
    }
    if (bytes.length < end) return undefined;
    this.#rest = bytes.subarray(end);
    return { type: type as SharedFrameType, payload: bytes.subarray(headerBytes, end) };
  }
}
