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
  /** Client: `stream u8 (1 stdout, 2 stderr) | offset u64`, output shown up to here; the server may make room. */
  outputAck: 0x1a,

  /** Provisioning: `offset u64 | bytes` of the archive; then an empty frame that says it is whole. */
  data: 0x20,
  dataEnd: 0x21,
  /** Server: JSON, see message.ts. */
  progress: 0x22,
  done: 0x23,
  /** Server: which pieces of a recipe the machine lacks, see piece-set.ts. */
  lacking: 0x24,

  /** Forwards. Both: one UDP datagram, which may be empty. */
  datagram: 0x30,
  /** Server: JSON `{connection, from?}`, somebody connected to a listener. */
  incoming: 0x31,
  /** Client: empty; the listener is not wanted any more. */
  listenEnd: 0x32,
  /** Server: JSON, see ports-message.ts: all ports that are listened on, first at once and then at each change. */
  ports: 0x38,
  /** Copies: see file-frame.ts. Client: JSON, what is copied where. */
  fileJob: 0x40,
  /** The side that has the files: how much there is, a name of the tree, the end of a folder, the end of all. */
  fileTotal: 0x41,
  fileEntry: 0x42,
  fileLeave: 0x43,
  fileAll: 0x44,
  /** It has been asked for one: where it begins, its bytes, zeros, bytes that the other side has, its digest. */
  fileStart: 0x45,
  fileContent: 0x46,
  fileHole: 0x47,
  fileSame: 0x48,
  fileEnd: 0x49,
  /** Either side: a file, folder or link that is not copied, and why. */
  fileFailed: 0x4a,
  /** The side that gets the files: digests of what it has, a file it wants, one that is done, all are done. */
  fileChunks: 0x4b,
  fileWant: 0x4c,
  fileDone: 0x4d,
  fileFinished: 0x4e,
  /** The side that has the files: all of a small one at once. */
  fileWhole: 0x4f,

  /** SSH, either end: `offset u64 | bytes`; the offset of the first byte in its direction. */
  sshData: 0x50,
  /** Either end: `offset u64`, taken up to here; the sender may forget what lies before. */
  sshAck: 0x51,
  /** Either end: `offset u64`, the total length of its direction. */
  sshEnd: 0x52,
  /** Agent, either end: `connection u32 | bytes`; the first of a number, from the server, opens that connection. */
  agentData: 0x53,
  /** Either end: `connection u32`, which is closed. */
  agentEnd: 0x54,
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
  [frameTypes.outputAck, 9],
  [frameTypes.data, limits.dataBytesMax + 8],
  [frameTypes.dataEnd, 0],
  [frameTypes.progress, limits.controlBytesMax],
  [frameTypes.done, limits.replyBytesMax],
  [frameTypes.lacking, limits.lackingBytesMax],
  [frameTypes.datagram, limits.datagramBytesMax],
  [frameTypes.incoming, limits.controlBytesMax],
  [frameTypes.listenEnd, 0],
  [frameTypes.ports, limits.portsBytesMax],
  [frameTypes.fileJob, limits.requestBytesMax],
  [frameTypes.fileTotal, 16],
  [frameTypes.fileEntry, limits.fileEntryBytesMax],
  [frameTypes.fileLeave, 4],
  [frameTypes.fileAll, 0],
  [frameTypes.fileStart, 12],
  [frameTypes.fileContent, 12 + limits.fileContentBytesMax],
  [frameTypes.fileHole, 20],
  [frameTypes.fileSame, 28],
  [frameTypes.fileEnd, 48],
  [frameTypes.fileFailed, limits.controlBytesMax],
  [frameTypes.fileChunks, 4 + limits.fileChunksPerFrameMax * 20],
  [frameTypes.fileWant, 45],
  [frameTypes.fileDone, 5],
  [frameTypes.fileFinished, 0],
  [frameTypes.fileWhole, 8 + limits.fileWholeBytesMax],
  [frameTypes.sshData, limits.dataBytesMax + 8],
  [frameTypes.sshAck, 8],
  [frameTypes.sshEnd, 8],
  [frameTypes.agentData, limits.dataBytesMax + 4],
  [frameTypes.agentEnd, 4],
]);

const headerBytes = 5;
/**
 * Large arrays begin at a page, and AMD's Zen copies many times slower between places whose distance
 * modulo a page is 1 to 15 bytes (glibc bug 30994), which 13 bytes of header would bring about:
 * measured 0.30 s of CPU a gigabyte instead of 0.02. The padding puts session data at byte 32.
 */
const bulkPaddingBytes = 19;
const bulkBytesMin = 4 * 1024;
const payloadRoomMin = 4 * 1024;
const emptyBytes: Uint8Array = new Uint8Array(0);

export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

/** A frame with its header written and its payload still to be filled in, without a second copy; what follows is counted alone. */
export function openFrame(
  type: FrameType,
  payloadBytes: number,
  followingBytes = 0,
): { readonly bytes: Uint8Array<ArrayBuffer>; readonly payload: Uint8Array<ArrayBuffer> } {
  const max = payloadBytesMax.get(type) ?? 0;
  const length = payloadBytes + followingBytes;
  if (length > max)
    throw new RangeError(`Frame 0x${type.toString(16)} of ${length} bytes, at most ${max}`);
  const padding = payloadBytes < bulkBytesMin ? 0 : bulkPaddingBytes;
  const bytes = new Uint8Array(padding + headerBytes + payloadBytes).subarray(padding);
  bytes[0] = type;
  new DataView(bytes.buffer, padding).setUint32(1, length);
  return { bytes, payload: bytes.subarray(headerBytes) };
}

/** Throws `RangeError` if the payload is longer than its type allows: that is our own mistake. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = openFrame(type, payload.length);
  frame.payload.set(payload);
  return frame.bytes;
}

/**
 * Bytes in any slices -> frames, one at a time, so that a slice full of tiny frames costs no more
 * memory than the slice. A payload gets room as its bytes arrive, so a header alone costs nothing.
 */
export class FrameDecoder {
  #slice = emptyBytes;
  #offset = 0;
  readonly #header = new Uint8Array(headerBytes);
  #headerLength = 0;
  /** Announced by the header, once that is complete. */
  #payloadBytes: number | undefined;
  #payload = emptyBytes;
  #payloadLength = 0;
  readonly #lends: boolean;

  /** One that lends takes payloads back at the next call: bulk that is used at once costs no memory of its own. */
  constructor({ lends = false }: { readonly lends?: boolean } = {}) {
    this.#lends = lends;
  }

  /** Gives the next slice; it belongs to the decoder from here on. Only when `next` had no more. */
  feed(slice: Uint8Array): void {
    if (this.#offset < this.#slice.length) throw new RangeError("Fed before all frames were taken");
    this.#slice = slice;
    this.#offset = 0;
  }

  /** The next frame, or undefined when more bytes are needed. Throws `WireError`; then the stream is of no use. */
  next(): Frame | undefined {
    if (!this.#takeHeader()) return undefined;
    this.#payloadBytes ??= this.#checkedLength();
    const payload = this.#takePayload(this.#payloadBytes);
    if (payload === undefined) return undefined;
    this.#headerLength = 0;
    this.#payloadBytes = undefined;
    return { type: (this.#header[0] ?? 0) as FrameType, payload };
  }

  /** What was fed and belongs to no frame: the stream goes on without framing from here. */
  remainder(): Uint8Array {
    const rest = this.#slice.subarray(this.#offset);
    this.#slice = emptyBytes;
    this.#offset = 0;
    return rest;
  }

  /** True between frames: an end of stream here is a clean one. */
  get idle(): boolean {
    return this.#headerLength === 0;
  }

  #takeHeader(): boolean {
    while (this.#headerLength < headerBytes) {
      const byte = this.#slice[this.#offset];
      if (byte === undefined) return false;
      this.#offset += 1;
      this.#header[this.#headerLength++] = byte;
    }
    return true;
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

  #takePayload(length: number): Uint8Array | undefined {
    const available = this.#slice.length - this.#offset;
    if (this.#payloadLength === 0 && available >= length) return this.#wholePayload(length);

    const taken = Math.min(length - this.#payloadLength, available);
    this.#makeRoom(length, this.#payloadLength + taken);
    this.#payload.set(
      this.#slice.subarray(this.#offset, this.#offset + taken),
      this.#payloadLength,
    );
    this.#offset += taken;
    this.#payloadLength += taken;
    if (this.#payloadLength < length) return undefined;

    this.#payloadLength = 0;
    if (this.#lends) return this.#payload.subarray(0, length);
    const payload = this.#payload;
    this.#payload = emptyBytes;
    return payload;
  }

  /** A view where the payload is most of the slice; else a copy, so that a few bytes never pin a large slice. */
  #wholePayload(length: number): Uint8Array {
    const end = this.#offset + length;
    const payload =
      this.#lends || length * 2 >= this.#slice.length
        ? this.#slice.subarray(this.#offset, end)
        : this.#slice.slice(this.#offset, end);
    this.#offset = end;
    return payload;
  }

  #makeRoom(length: number, needed: number): void {
    if (needed <= this.#payload.length) return;
    const wanted = (this.#payload.length === 0 ? 4 : 2) * needed;
    const grown = new Uint8Array(Math.min(length, Math.max(payloadRoomMin, wanted)));
    grown.set(this.#payload.subarray(0, this.#payloadLength));
    this.#payload = grown;
  }
}

/** Frames over a stream, one at a time, with the stream's own back-pressure. */
export class FrameStream {
  readonly stream: ByteStream;
  readonly #decoder: FrameDecoder;

  constructor(stream: ByteStream, options: { readonly lends?: boolean } = {}) {
    this.stream = stream;
    this.#decoder = new FrameDecoder(options);
  }

  /** The next frame if it is here whole: of many small ones most are, and each wait would cost more than they do. */
  arrived(): Frame | undefined {
    return this.#decoder.next();
  }

  /** The next frame, or null at a clean end. Rejects with `WireError` or `StreamError`. */
  async read(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#decoder.next();
      if (frame !== undefined) return frame;
      const slice = await this.stream.read();
      if (slice === null) {
        if (!this.#decoder.idle) throw new WireError("The stream ended within a frame");
        return null;
      }
      this.#decoder.feed(slice);
    }
  }

  async write(type: FrameType, payload: Uint8Array): Promise<void> {
    await this.stream.write(encodeFrame(type, payload));
  }

  /** What came with the last frame and belongs to none that was read: for who goes on with the stream itself. */
  takeEarly(): Uint8Array {
    return this.#decoder.remainder();
  }

  /** The stream below, for what follows the frames raw; nothing that came with the last frame is lost. */
  release(): ByteStream {
    const { stream } = this;
    let early: Uint8Array | undefined = this.takeEarly();
    return {
      read: () => {
        const first = early;
        early = undefined;
        return first === undefined || first.length === 0 ? stream.read() : Promise.resolve(first);
      },
      write: (bytes) => stream.write(bytes),
      end: () => stream.end(),
      abort: (code) => stream.abort(code),
    };
  }

  /** Takes a frame that was encoded whole (session-frame.ts). */
  async writeEncoded(frame: Uint8Array): Promise<void> {
    await this.stream.write(frame);
  }
}
