import { WireError } from "./errors.ts";
import { frameTypes, openFrame } from "./frame.ts";
import { limits } from "./limits.ts";
import { Reader, Writer } from "./wire.ts";

/** A `data` frame: bytes of an archive, and where in it they belong. */
export interface ArchiveData {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The whole frame, header included. */
export function encodeArchiveData({ offset, bytes }: ArchiveData): Uint8Array<ArrayBuffer> {
  const frame = openFrame(frameTypes.data, 8 + bytes.length);
  frame.payload.set(new Writer(8).u64(offset).finish());
  frame.payload.set(bytes, 8);
  return frame.bytes;
}

/** Throws `WireError`. */
export function decodeArchiveData(payload: Uint8Array): ArchiveData {
  const reader = new Reader(payload, "Archive data");
  const offset = reader.u64();
  const bytes = reader.rest();
  if (bytes.length === 0) throw new WireError("Archive data without a byte");
  if (offset + bytes.length > limits.offsetMax) throw new WireError("Archive data ends above 2^53");
  return { offset, bytes };
}
