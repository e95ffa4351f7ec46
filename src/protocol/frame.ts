import type { ByteStream } from "./byte-stream.ts";
import { WireError } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * Frames of all streams after login.
 *
 *   0        1                 5
 *   +--------+-----------------+---------------- - -
 *   | type   | length (u32 BE) | payload
 *   +--------+-----------------+---------------- - -
 *
 * Every type has a maximum of its own, so a decoder never buffers more than the largest of them.
 */
export const frameTypes = {
  /** Client, first frame of a stream: JSON, see message.ts. */
  request: 0x01,
  /** Server, first frame of its half: JSON answer. */
  ok: 0x02,
  /** Server: JSON `{code, message, hint?}`; ends the stream's work. */
  error: 0x03,

  /** Sessions: `offset u64 | bytes`; the offset of the first byte in its stream. */
  stdin: 0x10,
  stdout: 0x11,
  stderr: 0x12,
  /** Client: `offset u64`, the total length of stdin. */
  stdinEnd: 0x13,
  /** Client: `rows u16 | cols u16`. */
  resize: 0x14,
  /** Client: signal number u8, sent to the foreground process group. */
  signal: 0x15,
  /** Server: JSON `{code}` or `{signal}`; all output stands before it. */
  exit: 0x16,
  /** Client: empty; the exit was taken note of and need not be kept for this client. */
  exitAck: 0x17,
  /** Server: `stream u8 (1 stdout, 2 stderr) | from u64 | to u64`, output that is lost. */
  gap: 0x18,
  /** Server: `offset u64`, stdin taken up to here; the client may forget what lies before. */
  stdinAck: 0x19,

  /** Provisioning: archive bytes; then an empty frame that says it is whole. */
  data: 0x20,
  dataEnd: 0x21,
  /** Server: JSON, see message.ts. */
  progress: 0x22,
  done: 0x23,
} as const;

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];

const payloadBytesMax: ReadonlyMap<number, number> = new Map<number, number>([
  [frameTypes.request, limits.requestBytesMax],
  [frameTypes.ok, limits.replyBytesMax],
  [frameTypes.error, limits.errorBytesMax],
  [frameTypes.stdin, limits.dataBytesMax + 8],
  [frameTypes.stdout, limits.dataBytesMax + 8],
  [frameTypes.stderr, limits.dataBytesMax + 8],
  [frameTypes.stdinEnd, 8],
  [frameTypes.resize, 4],
  [frameTypes.signal, 1],
  [frameTypes.exit, limits.controlBytesMax],
  [frameTypes.exitAck, 0],
  [frameTypes.gap, 17],
  [frameTypes.stdinAck, 8],
  [frameTypes.data, limits.dataBytesMax],
  [frameTypes.dataEnd, 0],
  [frameTypes.progress, limits.controlBytesMax],
  [frameTypes.done, limits.controlBytesMax],
]);

const headerBytes = 5;

export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

/** Throws `RangeError` if the payload is longer than its type allows: that is our own mistake. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const max = payloadBytesMax.get(type) ?? 0;
  if (payload.length > max)
    throw new RangeError(`Frame 0x${type.toString(16)} of ${payload.length} bytes, at most ${max}`);
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Bytes in any slices -> frames. Holds at most one header and one payload of the type's maximum. */
export class FrameDecoder {
  readonly #header = new Uint8Array(headerBytes);
  #headerLength = 0;
  #payload: Uint8Array | undefined;
  #payloadLength = 0;

  /** Frames completed by `bytes`, in order. Payloads are copies. Throws `WireError`; then the stream is of no use. */
  push(bytes: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let offset = 0;
    while (offset < bytes.length || this.#payload?.length === 0) {
      if (this.#payload === undefined) {
        offset += this.#takeHeader(bytes.subarray(offset));
      } else {
        offset += this.#takePayload(this.#payload, bytes.subarray(offset));
      }
      const frame = this.#completed();
      if (frame !== undefined) frames.push(frame);
    }
    return frames;
  }

  /** True between frames: an end of stream here is a clean one. */
  get idle(): boolean {
    return this.#headerLength === 0;
  }

  #takeHeader(bytes: Uint8Array): number {
    const taken = Math.min(headerBytes - this.#headerLength, bytes.length);
    this.#header.set(bytes.subarray(0, taken), this.#headerLength);
    this.#headerLength += taken;
    if (this.#headerLength === headerBytes) this.#payload = new Uint8Array(this.#checkedLength());
    return taken;
  }

  #checkedLength(): number {
    const view = new DataView(this.#header.buffer);
    const type = view.getUint8(0);
    const length = view.getUint32(1);
    const max = payloadBytesMax.get(type);
    if (max === undefined) throw new WireError(`Unknown frame type 0x${type.toString(16)}`);
    if (length > max)
      throw new WireError(`Frame 0x${type.toString(16)} of ${length} bytes, at most ${max}`);
    return length;
  }

  #takePayload(payload: Uint8Array, bytes: Uint8Array): number {
    const taken = Math.min(payload.length - this.#payloadLength, bytes.length);
    payload.set(bytes.subarray(0, taken), this.#payloadLength);
    this.#payloadLength += taken;
    return taken;
  }

  #completed(): Frame | undefined {
    const payload = this.#payload;
    if (payload === undefined || this.#payloadLength < payload.length) return undefined;
    const frame: Frame = { type: (this.#header[0] ?? 0) as FrameType, payload };
    this.#headerLength = 0;
    this.#payload = undefined;
    this.#payloadLength = 0;
    return frame;
  }
}

/** Frames over a stream, one at a time, with the stream's own back-pressure. */
export class FrameStream {
  readonly stream: ByteStream;
  readonly #decoder = new FrameDecoder();
  readonly #ready: Frame[] = [];

  constructor(stream: ByteStream) {
    this.stream = stream;
  }

  /** The next frame, or null at a clean end. Rejects with `WireError` or `StreamError`. */
  async read(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#ready.shift();
      if (frame !== undefined) return frame;
      const bytes = await this.stream.read();
      if (bytes === null) {
        if (!this.#decoder.idle) throw new WireError("The stream ended within a frame");
        return null;
      }
      this.#ready.push(...this.#decoder.push(bytes));
    }
  }

  async write(type: FrameType, payload: Uint8Array): Promise<void> {
    await this.stream.write(encodeFrame(type, payload));
  }
}
