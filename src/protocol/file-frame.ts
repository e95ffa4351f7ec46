import { WireError } from "./errors.ts";
import { type Frame, frameTypes, openFrame, type FrameType } from "./frame.ts";
import { limits } from "./limits.ts";
import { Reader, Writer } from "./wire.ts";
import {
  type FileChunk,
  type FileContent,
  type FileEntry,
  type FileFailure,
  type FileMessage,
  fileKinds,
  fileOutcomes,
  fileTroubles,
} from "./file-message.ts";

/**
 * Frames of a copy. One side, the source, has the files; the other, the sink, gets them. Either may be
 * the client: the frames are the same. Names are bytes, as Linux has them.
 *
 *   total     files u64 | bytes u64
 *   entry     id u32 | parent u32 | kind u8 | mode u16 | seconds u64 (since 1970, + 2^40) | nanoseconds u32
 *             | size u64 | digest u8 (0 or 1, then 32 bytes) | name length u16 | name | link target
 *   leave     id u32
 *   start     id u32 | offset u64
 *   content   id u32 | offset u64 | bytes
 *   whole     id u32 | CRC-32 u32 | bytes: all of a file that was announced with a digest
 *   hole      id u32 | offset u64 | length u64
 *   same      id u32 | offset u64 | base offset u64 | length u64
 *   end       id u32 | size u64 | CRC-32 u32 of all content since the start | SHA-256 of the file
 *   failed    id u32 | code length u8 | code | message
 *   chunks    id u32 | (length u32 | first 16 bytes of SHA-256)…
 *   want      id u32 | average bits u8 (0: no chunks, 255: only whether all before the offset is the same)
 *             | offset u64 | SHA-256 of what is before it; without these two: from its beginning
 *   done      id u32 | outcome u8
 *
 * Ids count from 1 in the order of entries; parent 0 is the destination.
 */
export function encodeFileMessage(message: FileMessage): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case "total":
      return frame(frameTypes.fileTotal, new Writer(16).u64(message.files).u64(message.bytes));
    case "entry":
      return encodeEntry(message.entry);
    case "leave":
      return frame(frameTypes.fileLeave, new Writer(4).u32(message.id));
    case "all":
      return frame(frameTypes.fileAll, new Writer(0));
    case "start":
      return frame(frameTypes.fileStart, new Writer(12).u32(message.id).u64(message.offset));
    case "content":
    case "whole": {
      const head = contentHead(message);
      const bytes = new Uint8Array(head.length + message.bytes.length);
      bytes.set(head);
      bytes.set(message.bytes, head.length);
      return bytes;
    }
    case "hole": {
      const { id, offset, length } = message;
      return frame(frameTypes.fileHole, new Writer(20).u32(id).u64(offset).u64(length));
    }
    case "same": {
      const { id, offset, baseOffset, length } = message;
      const writer = new Writer(28).u32(id).u64(offset).u64(baseOffset).u64(length);
      return frame(frameTypes.fileSame, writer);
    }
    case "end": {
      const { id, size, crc32, sha256 } = message;
      const writer = new Writer(48).u32(id).u64(size).u32(crc32);
      if (sha256 !== undefined) writer.bytes(sha256);
      return frame(frameTypes.fileEnd, writer);
    }
    case "failed":
      return encodeFailed(message);
    default:
      return encodeOfSink(message);
  }
}

function encodeOfSink(
  message: Extract<FileMessage, { type: "chunks" | "want" | "done" | "finished" }>,
): Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case "chunks": {
      const writer = new Writer(4 + 20 * message.chunks.length).u32(message.id);
      for (const { length, digest } of message.chunks) writer.u32(length).bytes(digest);
      return frame(frameTypes.fileChunks, writer);
    }
    case "want": {
      const { id, offset, sha256, averageBits } = message;
      const writer = new Writer(45).u32(id).u8(averageBits);
      if (sha256 !== undefined) writer.u64(offset).bytes(sha256);
      return frame(frameTypes.fileWant, writer);
    }
    case "done": {
      const outcome = fileOutcomes.indexOf(message.outcome);
      return frame(frameTypes.fileDone, new Writer(5).u32(message.id).u8(outcome));
    }
    case "finished":
      return frame(frameTypes.fileFinished, new Writer(0));
  }
}

/** Throws `WireError` for what is no frame of a copy, and for one that is malformed. */
export function decodeFileMessage({ type, payload }: Frame): FileMessage {
  const reader = new Reader(payload, "Copy");
  const message = decode(type, reader);
  reader.finish();
  return message;
}

function decode(type: FrameType, reader: Reader): FileMessage {
  switch (type) {
    case frameTypes.fileTotal:
      return { type: "total", files: reader.u64(), bytes: reader.u64() };
    case frameTypes.fileEntry:
      return { type: "entry", entry: decodeEntry(reader) };
    case frameTypes.fileLeave:
      return { type: "leave", id: reader.u32() };
    case frameTypes.fileAll:
      return { type: "all" };
    case frameTypes.fileStart:
      return { type: "start", id: reader.u32(), offset: reader.u64() };
    case frameTypes.fileContent:
      return { type: "content", id: reader.u32(), offset: reader.u64(), bytes: reader.rest() };
    case frameTypes.fileWhole:
      return { type: "whole", id: reader.u32(), crc32: reader.u32(), bytes: reader.rest() };
    case frameTypes.fileHole:
      return { type: "hole", id: reader.u32(), offset: reader.u64(), length: holeLength(reader) };
    case frameTypes.fileSame:
      return {
        type: "same",
        id: reader.u32(),
        offset: reader.u64(),
        baseOffset: reader.u64(),
        length: holeLength(reader),
      };
    case frameTypes.fileEnd:
      return {
        type: "end",
        id: reader.u32(),
        size: reader.u64(),
        crc32: reader.u32(),
        sha256: reader.left === 0 ? undefined : reader.copy(32),
      };
    case frameTypes.fileFailed:
      return { type: "failed", ...decodeFailed(reader) };
    default:
      return decodeOfSink(type, reader);
  }
}

function decodeOfSink(type: FrameType, reader: Reader): FileMessage {
  switch (type) {
    case frameTypes.fileChunks:
      return { type: "chunks", id: reader.u32(), chunks: decodeChunks(reader) };
    case frameTypes.fileWant:
      return decodeWant(reader);
    case frameTypes.fileDone:
      return { type: "done", id: reader.u32(), outcome: listed(fileOutcomes, reader.u8()) };
    case frameTypes.fileFinished:
      return { type: "finished" };
    default:
      throw new WireError(`Frame 0x${type.toString(16)} in a copy`);
  }
}

/** The bias keeps times before 1970 positive. */
const secondsBias = 2 ** 40;

function encodeEntry(entry: FileEntry): Uint8Array<ArrayBuffer> {
  const { id, parent, kind, mode, seconds, nanoseconds, size, digest, name, target } = entry;
  const writer = new Writer(80 + name.length + target.length)
    .u32(id)
    .u32(parent)
    .u8(fileKinds.indexOf(kind))
    .u16(mode)
    .u64(seconds + secondsBias)
    .u32(nanoseconds)
    .u64(size)
    .u8(digest === undefined ? 0 : 1);
  if (digest !== undefined) writer.bytes(digest);
  return frame(frameTypes.fileEntry, writer.u16(name.length).bytes(name).bytes(target));
}

function decodeEntry(reader: Reader): FileEntry {
  const id = reader.u32();
  const parent = reader.u32();
  const kind = listed(fileKinds, reader.u8());
  const mode = reader.u16();
  const seconds = reader.u64() - secondsBias;
  const nanoseconds = reader.u32();
  const size = reader.u64();
  const digest = listed([false, true] as const, reader.u8()) ? reader.copy(32) : undefined;
  const name = reader.copy(reader.u16());
  const target = reader.left === 0 ? noBytes : reader.copy(reader.left);
  if (mode > 0o7777) throw new WireError("A mode above 7777");
  if (nanoseconds >= 1e9) throw new WireError("A second of more than 10^9 nanoseconds");
  if (Math.abs(seconds) > secondsBias) throw new WireError("A time beyond all calendars");
  mustBeName(name, parent === 0);
  if (kind === "link" ? target.length === 0 : target.length > 0)
    throw new WireError("A target where no link is, or none where one is");
  if (target.length > limits.fileLinkBytesMax || target.includes(0))
    throw new WireError("A link's target that cannot be one");
  return { id, parent, kind, mode, seconds, nanoseconds, size, digest, name, target };
}

const noBytes = new Uint8Array(0);

/** The wall against names that lead elsewhere. "." is the destination itself. */
function mustBeName(name: Uint8Array, atTop: boolean): void {
  const dots = name.every((byte) => byte === dot) ? name.length : 0;
  const isDestination = atTop && dots === 1;
  const bad =
    name.length === 0 ||
    name.length > limits.fileNameBytesMax ||
    name.includes(slash) ||
    name.includes(0) ||
    ((dots === 1 || dots === 2) && !isDestination);
  if (bad) throw new WireError("A name that no file in a folder can have");
}

const dot = 0x2e;
const slash = 0x2f;

/** What comes before the bytes in a frame of content, for who puts both together without another copy. */
export function contentHead(message: FileContent): Uint8Array {
  return message.type === "whole"
    ? frameHead(
        frameTypes.fileWhole,
        new Writer(8).u32(message.id).u32(message.crc32),
        message.bytes.length,
      )
    : frameHead(
        frameTypes.fileContent,
        new Writer(12).u32(message.id).u64(message.offset),
        message.bytes.length,
      );
}

function frameHead(type: FrameType, fields: Writer, bytes: number): Uint8Array {
  const head = fields.finish();
  const opened = openFrame(type, head.length, bytes);
  opened.payload.set(head);
  return opened.bytes;
}

function encodeFailed({ id, code, message }: FileFailure): Uint8Array<ArrayBuffer> {
  const [codeBytes, words] = [encoder.encode(code), encoder.encode(message)];
  const writer = new Writer(64 + words.length)
    .u32(id)
    .u8(codeBytes.length)
    .bytes(codeBytes)
    .bytes(words.subarray(0, failureWordsBytesMax));
  return frame(frameTypes.fileFailed, writer);
}

const failureWordsBytesMax = limits.controlBytesMax - 64;

function decodeFailed(reader: Reader): FileFailure {
  const id = reader.u32();
  const code = decoder.decode(reader.bytes(reader.u8()));
  const message = decoder.decode(reader.rest());
  return { id, code: fileTroubles.find((known) => known === code) ?? "io", message };
}

function decodeWant(reader: Reader): FileMessage {
  const said = { type: "want", id: reader.u32(), averageBits: reader.u8() } as const;
  return reader.left === 0
    ? { ...said, offset: 0, sha256: undefined }
    : { ...said, offset: reader.u64(), sha256: reader.copy(32) };
}

function decodeChunks(reader: Reader): FileChunk[] {
  const bytes = reader.rest();
  if (bytes.length % 20 !== 0) throw new WireError("Chunks that are cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 20 }, (_, index) => ({
    length: view.getUint32(index * 20),
    digest: new Uint8Array(bytes.subarray(index * 20 + 4, index * 20 + 20)),
  }));
}

/** Bounded, so that what it makes the other side do is. */
function holeLength(reader: Reader): number {
  const length = reader.u64();
  if (length === 0 || length > limits.fileHoleBytesMax)
    throw new WireError(`A stretch of ${length} bytes`);
  return length;
}

function listed<Value>(values: readonly Value[], index: number): Value {
  const value = values[index];
  if (value === undefined) throw new WireError(`${index} where 0 to ${values.length - 1} was due`);
  return value;
}

function frame(type: FrameType, writer: Writer): Uint8Array<ArrayBuffer> {
  const payload = writer.finish();
  const opened = openFrame(type, payload.length);
  opened.payload.set(payload);
  return opened.bytes;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
