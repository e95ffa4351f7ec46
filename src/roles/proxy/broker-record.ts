import { addressBytes, addressText } from "../../system/ip-address.ts";
import type { BrokerRequest } from "./decision.ts";

/**
 * What relay and broker say to each other over a pipe: records of one size each way, so that neither
 * has a parser that the other could confuse. Numbers are big-endian.
 *
 * Relay to broker, 16 bytes:  0 kind, 1-7 machine id, 8-15 zero.
 * Broker to relay, 32 bytes:  0 kind, 1-7 machine id, 8 state, 9 family (0, 4, 6), 10-25 address,
 *                             26-29 seconds, 30-31 zero.
 */
export type RelayRecord =
  /** A machine as the Machines API has it now; `address` is missing where it has none. */
  | {
      readonly kind: "machine";
      readonly machineId: string;
      readonly state: MachineState;
      readonly address: string | undefined;
    }
  /** There is no such machine, or none any more. */
  | { readonly kind: "gone"; readonly machineId: string }
  /** A start that was asked for is under way, or came to nothing. `retryS`: before that it is not tried again. */
  | {
      readonly kind: "start";
      readonly machineId: string;
      readonly outcome: StartOutcome;
      readonly retryS: number;
    }
  /** The first whole list was sent. */
  | { readonly kind: "synced" }
  /** No new connections; tell the old ones. */
  | { readonly kind: "drain" };

/** "other": a state in which nothing can be done but wait for the next look. */
export const machineStates = [
  "started",
  "stopped",
  "suspended",
  "created",
  "starting",
  "stopping",
  "suspending",
  "replacing",
  "failed",
  "other",
] as const;

export type MachineState = (typeof machineStates)[number];

/** "resting": too many starts, somebody must look after it. "busy": not tried yet, others come first. */
export const startOutcomes = ["starting", "failed", "resting", "busy"] as const;

export type StartOutcome = (typeof startOutcomes)[number];

export const requestBytes = 16;
export const recordBytes = 32;

/** Not a record of ours: the other process is broken, and must be started anew. */
export class BrokerRecordError extends Error {
  override readonly name = "BrokerRecordError";
}

export function encodeRequest({ kind, machineId }: BrokerRequest): Uint8Array {
  const bytes = Buffer.alloc(requestBytes);
  bytes[0] = requestKinds.indexOf(kind);
  bytes.write(machineId, 1, "hex");
  return new Uint8Array(bytes);
}

export function decodeRequest(bytes: Uint8Array): BrokerRequest {
  const kind = requestKinds[bytes[0] ?? -1];
  if (bytes.byteLength !== requestBytes || kind === undefined)
    throw new BrokerRecordError("a request of no kind");
  return { kind, machineId: machineIdAt(bytes) };
}

export function encodeRecord(record: RelayRecord): Uint8Array {
  const bytes = Buffer.alloc(recordBytes);
  bytes[0] = recordKinds.indexOf(record.kind);
  if ("machineId" in record) bytes.write(record.machineId, 1, "hex");
  if (record.kind === "machine") {
    bytes[8] = machineStates.indexOf(record.state);
    if (record.address !== undefined) writeAddress(bytes, record.address);
  } else if (record.kind === "start") {
    bytes[8] = startOutcomes.indexOf(record.outcome);
    bytes.writeUInt32BE(Math.min(0xffff_ffff, Math.max(0, Math.ceil(record.retryS))), 26);
  }
  return new Uint8Array(bytes);
}

export function decodeRecord(record: Uint8Array): RelayRecord {
  const kind = recordKinds[record[0] ?? -1];
  if (record.byteLength !== recordBytes || kind === undefined)
    throw new BrokerRecordError("a record of no kind");
  if (kind === "synced" || kind === "drain") return { kind };
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const machineId = machineIdAt(bytes);
  if (kind === "gone") return { kind, machineId };
  if (kind === "start") {
    const outcome = startOutcomes[bytes.readUInt8(8)];
    if (outcome === undefined) throw new BrokerRecordError("a start of no outcome");
    return { kind, machineId, outcome, retryS: bytes.readUInt32BE(26) };
  }
  const state = machineStates[bytes.readUInt8(8)];
  if (state === undefined) throw new BrokerRecordError("a machine in no state");
  return { kind, machineId, state, address: readAddress(bytes) };
}

function machineIdAt(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex", 1, 8);
}

function writeAddress(bytes: Buffer, address: string): void {
  const raw = addressBytes(address);
  bytes[9] = raw.byteLength === 4 ? 4 : 6;
  bytes.set(raw, addressAt);
}

function readAddress(bytes: Buffer): string | undefined {
  const family = bytes.readUInt8(9);
  if (family === 0) return undefined;
  if (family !== 4 && family !== 6) throw new BrokerRecordError("an address of no family");
  return addressText(bytes.subarray(addressAt, addressAt + (family === 4 ? 4 : 16)));
}

const requestKinds = ["lookup", "start"] as const;
const recordKinds = ["machine", "gone", "start", "synced", "drain"] as const;
const addressAt = 10;
