import { closeSync, readSync, writeSync } from "node:fs";
import { makeNonBlocking } from "../../../system/process.ts";
import { decodeRecord, encodeRequest, recordBytes, type RelayRecord } from "../broker-record.ts";
import type { BrokerRequest } from "../decision.ts";
import { proxyLimits } from "../limits.ts";
import {
  decodeRelaySecrets,
  type RelayReport,
  type RelaySecrets,
  relayFds,
} from "../relay-plan.ts";

/** One line; waits for it. Nothing of it stays open. Throws for what is no such line. */
export function readSecrets(): RelaySecrets {
  const bytes = new Uint8Array(proxyLimits.relaySecretsBytesMax);
  let length = 0;
  while (length < bytes.byteLength) {
    const read = readSync(relayFds.secrets, bytes, length, bytes.byteLength - length, null);
    if (read === 0) break;
    length += read;
    if (bytes[length - 1] === lineFeed) break;
  }
  closeSync(relayFds.secrets);
  const line = new TextDecoder().decode(bytes.subarray(0, length));
  bytes.fill(0);
  return decodeRelaySecrets(line.trim());
}

/** What the broker says, as far as it has come. Never waits. */
export class RecordsPipe {
  readonly descriptor: number;
  readonly #bytes = new Uint8Array(proxyLimits.recordsPerTurnMax * recordBytes);
  #length = 0;

  constructor(descriptor: number = relayFds.records) {
    this.descriptor = descriptor;
    makeNonBlocking(descriptor);
  }

  /** False when the broker is gone. Throws `BrokerRecordError`. */
  read(learn: (record: RelayRecord) => void): boolean {
    const room = this.#bytes.byteLength - this.#length;
    const read = unlessBlocked(() =>
      readSync(this.descriptor, this.#bytes, this.#length, room, null),
    );
    if (read === 0) return false;
    this.#length += read ?? 0;
    let at = 0;
    for (; at + recordBytes <= this.#length; at += recordBytes)
      learn(decodeRecord(this.#bytes.subarray(at, at + recordBytes)));
    this.#bytes.copyWithin(0, at, this.#length);
    this.#length -= at;
    return true;
  }
}

/** Requests to the broker. When it does not read, some wait, and the oldest are lost: the core asks again. */
export class RequestsPipe {
  readonly #descriptor: number;
  readonly #waiting: BrokerRequest[] = [];

  constructor(descriptor: number = relayFds.requests) {
    this.#descriptor = descriptor;
    makeNonBlocking(descriptor);
  }

  send(requests: readonly BrokerRequest[]): void {
    this.#waiting.push(...requests);
    const excess = this.#waiting.length - proxyLimits.requestsWaitingMax;
    if (excess > 0) this.#waiting.splice(0, excess);
    this.flush();
  }

  flush(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const bytes = encodeRequest(first);
      // Less than a pipe takes in one piece: all of it or nothing.
      if (unlessBlocked(() => writeSync(this.#descriptor, bytes)) === undefined) return;
      this.#waiting.shift();
    }
  }
}

/** Lines of JSON to the broker. One that has not left yet keeps the next ones from being written at all. */
export class ReportsPipe {
  readonly #descriptor: number;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(descriptor: number = relayFds.reports) {
    this.#descriptor = descriptor;
    makeNonBlocking(descriptor);
  }

  /** False when it was not taken. */
  write(report: RelayReport): boolean {
    this.flush();
    if (this.#rest.byteLength > 0) return false;
    this.#rest = new TextEncoder().encode(`${JSON.stringify(report)}\n`);
    this.flush();
    return true;
  }

  flush(): void {
    if (this.#rest.byteLength === 0) return;
    const written = unlessBlocked(() => writeSync(this.#descriptor, this.#rest));
    this.#rest = this.#rest.subarray(written ?? 0);
  }
}

function unlessBlocked(call: () => number): number | undefined {
  try {
    return call();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // EPIPE: the broker is gone, and the records say so in a moment.
    if (code === "EAGAIN" || code === "EPIPE") return undefined;
    throw error;
  }
}

const lineFeed = 0x0a;
