import { type RemoteError, WireError } from "./errors.ts";
import { type Frame, type FrameType, frameTypes, openFrame } from "./frame.ts";
import { limits } from "./limits.ts";
import { decodeError, decodeJson, encodeJson } from "./message.ts";
import { type Exit, exitSchema } from "./session-message.ts";
import { Reader, Writer } from "./wire.ts";

/** Frames of a session stream after the reply; layouts stand beside their types in frame.ts. */

export type OutputName = "stdout" | "stderr";

export interface DataFrame {
  readonly kind: "stdin" | OutputName;
  /** Position of the first byte in its stream, counted from the start of the session. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface GapFrame {
  readonly kind: "gap";
  readonly stream: OutputName;
  /** First byte that is lost, and the first that is not. */
  readonly from: number;
  readonly to: number;
}

export type ClientFrame =
  | (DataFrame & { readonly kind: "stdin" })
  | { readonly kind: "stdin-end"; readonly offset: number }
  | { readonly kind: "resize"; readonly rows: number; readonly cols: number }
  | { readonly kind: "signal"; readonly signal: number }
  | { readonly kind: "output-ack"; readonly stream: OutputName; readonly offset: number }
  | { readonly kind: "exit-ack" };

export type ServerFrame =
  | (DataFrame & { readonly kind: OutputName })
  | GapFrame
  | { readonly kind: "stdin-ack"; readonly offset: number }
  | { readonly kind: "exit"; readonly exit: Exit }
  | { readonly kind: "error"; readonly error: RemoteError };

const streamNumbers = { stdout: 1, stderr: 2 } as const;
const signalMax = 64;

/** The whole frame, header included. Throws `RangeError` for what the layout cannot hold. */
export function encodeSessionFrame(
  frame: Exclude<ClientFrame | ServerFrame, { readonly kind: "error" }>,
): Uint8Array<ArrayBuffer> {
  switch (frame.kind) {
    case "stdin":
    case "stdout":
    case "stderr":
      return encodeData(frame);
    case "stdin-end":
      return pack(frameTypes.stdinEnd, new Writer(8).u64(frame.offset));
    case "stdin-ack":
      return pack(frameTypes.stdinAck, new Writer(8).u64(frame.offset));
    case "output-ack":
      return pack(
        frameTypes.outputAck,
        new Writer(9).u8(streamNumbers[frame.stream]).u64(frame.offset),
      );
    case "gap":
      return pack(
        frameTypes.gap,
        new Writer(17).u8(streamNumbers[frame.stream]).u64(frame.from).u64(frame.to),
      );
    case "resize":
      return pack(frameTypes.resize, new Writer(4).u16(frame.rows).u16(frame.cols));
    case "signal":
      return pack(frameTypes.signal, new Writer(1).u8(frame.signal));
    case "exit":
      return pack(frameTypes.exit, new Writer().bytes(encodeJson(frame.exit)));
    case "exit-ack":
      return pack(frameTypes.exitAck, new Writer(0));
  }
}

function encodeData(frame: DataFrame): Uint8Array<ArrayBuffer> {
  const { bytes, payload } = openFrame(frameTypes[frame.kind], 8 + frame.bytes.length);
  payload.set(new Writer(8).u64(frame.offset).finish());
  payload.set(frame.bytes, 8);
  return bytes;
}

function pack(type: FrameType, writer: Writer): Uint8Array<ArrayBuffer> {
  const body = writer.finish();
  const { bytes, payload } = openFrame(type, body.length);
  payload.set(body);
  return bytes;
}

/** What a server may read after its reply. Throws `WireError`. */
export function decodeClientFrame(frame: Frame): ClientFrame {
  const reader = new Reader(frame.payload, "Session frame");
  switch (frame.type) {
    case frameTypes.stdin:
      return { kind: "stdin", ...readData(reader) };
    case frameTypes.stdinEnd:
      return finish(reader, { kind: "stdin-end", offset: reader.u64() });
    case frameTypes.resize:
      return finish(reader, { kind: "resize", rows: readSize(reader), cols: readSize(reader) });
    case frameTypes.signal:
      return finish(reader, { kind: "signal", signal: readSignal(reader) });
    case frameTypes.outputAck:
      return finish(reader, {
        kind: "output-ack",
        stream: readStream(reader),
        offset: reader.u64(),
      });
    case frameTypes.exitAck:
      return finish(reader, { kind: "exit-ack" });
    default:
      throw unexpected(frame, "client");
  }
}

/** What a client may read after the reply. Throws `WireError`. */
export function decodeServerFrame(frame: Frame): ServerFrame {
  const reader = new Reader(frame.payload, "Session frame");
  switch (frame.type) {
    case frameTypes.stdout:
      return { kind: "stdout", ...readData(reader) };
    case frameTypes.stderr:
      return { kind: "stderr", ...readData(reader) };
    case frameTypes.gap:
      return readGap(reader);
    case frameTypes.stdinAck:
      return finish(reader, { kind: "stdin-ack", offset: reader.u64() });
    case frameTypes.exit:
      return { kind: "exit", exit: decodeJson(exitSchema, frame.payload, "Exit") };
    case frameTypes.error:
      return { kind: "error", error: decodeError(frame.payload) };
    default:
      throw unexpected(frame, "server");
  }
}

function readData(reader: Reader): { offset: number; bytes: Uint8Array } {
  const offset = reader.u64();
  const bytes = reader.rest();
  if (bytes.length === 0) throw new WireError("Session data without a byte");
  if (offset + bytes.length > limits.offsetMax) throw new WireError("Session data ends above 2^53");
  return { offset, bytes };
}

function readGap(reader: Reader): GapFrame {
  const gap = { kind: "gap", stream: readStream(reader), from: reader.u64(), to: reader.u64() };
  if (gap.to <= gap.from) throw new WireError("Gap that ends before it begins");
  return finish(reader, gap as GapFrame);
}

function readStream(reader: Reader): OutputName {
  const number = reader.u8();
  if (number === streamNumbers.stdout) return "stdout";
  if (number === streamNumbers.stderr) return "stderr";
  throw new WireError(`No output stream has the number ${number}`);
}

function readSize(reader: Reader): number {
  const size = reader.u16();
  if (size === 0) throw new WireError("Terminal size of 0");
  return size;
}

function readSignal(reader: Reader): number {
  const signal = reader.u8();
  if (signal === 0 || signal > signalMax) throw new WireError(`No signal has the number ${signal}`);
  return signal;
}

function finish<Value>(reader: Reader, value: Value): Value {
  reader.finish();
  return value;
}

function unexpected(frame: Frame, side: string): WireError {
  return new WireError(`Frame 0x${frame.type.toString(16)} from a ${side} in a session`);
}
