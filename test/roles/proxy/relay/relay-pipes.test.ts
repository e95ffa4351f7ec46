import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, readSync, writeSync } from "node:fs";
import {
  BrokerRecordError,
  decodeRequest,
  encodeRecord,
  recordBytes,
  type RelayRecord,
  requestBytes,
} from "../../../../src/roles/proxy/broker-record.ts";
import { proxyLimits } from "../../../../src/roles/proxy/limits.ts";
import {
  RecordsPipe,
  ReportsPipe,
  RequestsPipe,
} from "../../../../src/roles/proxy/relay/relay-pipes.ts";
import { openPipe, type Pipe } from "../../../../src/system/process-pipe.ts";
import { makeNonBlocking } from "../../../../src/system/process.ts";

let pipe: Pipe;

beforeEach(() => {
  pipe = openPipe();
  makeNonBlocking(pipe.writeFd);
  makeNonBlocking(pipe.readFd);
});

afterEach(() => {
  for (const fd of [pipe.readFd, pipe.writeFd])
    try {
      closeSync(fd);
    } catch {
      // The test closed it.
    }
});

const machineId = "148e21ea7e46e8";

test("records come one by one, however the pipe cuts them", () => {
  const records = new RecordsPipe(pipe.readFd);
  const learned: RelayRecord[] = [];
  const bytes = Buffer.concat([
    encodeRecord({ kind: "gone", machineId }),
    encodeRecord({ kind: "synced" }),
  ]);
  expect(records.read((record) => learned.push(record))).toBe(true);
  for (let at = 0; at < bytes.length; at += 7) {
    writeSync(pipe.writeFd, bytes.subarray(at, at + 7));
    expect(records.read((record) => learned.push(record))).toBe(true);
  }
  expect(learned).toEqual([{ kind: "gone", machineId }, { kind: "synced" }]);
  closeSync(pipe.writeFd);
  expect(records.read(() => undefined)).toBe(false);
});

test("no more than so many records are taken in one turn", () => {
  const records = new RecordsPipe(pipe.readFd);
  const all = Buffer.concat(
    Array.from({ length: proxyLimits.recordsPerTurnMax + 5 }, () =>
      encodeRecord({ kind: "drain" }),
    ),
  );
  writeSync(pipe.writeFd, all);
  const counts = [0, 0];
  for (const turn of counts.keys())
    records.read(() => {
      counts[turn] = (counts[turn] ?? 0) + 1;
    });
  expect(counts).toEqual([proxyLimits.recordsPerTurnMax, 5]);
});

test("bytes that are no record end it", () => {
  writeSync(pipe.writeFd, new Uint8Array(recordBytes).fill(0xff));
  expect(() => new RecordsPipe(pipe.readFd).read(() => undefined)).toThrow(BrokerRecordError);
});

test("requests wait for a broker that does not read, the oldest of too many are lost", () => {
  const filler = fill(pipe);
  const requests = new RequestsPipe(pipe.writeFd);
  const ids = Array.from({ length: proxyLimits.requestsWaitingMax + 3 }, (_, index) =>
    index.toString(16).padStart(14, "0"),
  );
  requests.send(ids.map((id) => ({ kind: "lookup", machineId: id })));
  const arrived: string[] = [];
  const bytes = new Uint8Array(65_536);
  for (let skip = filler; ; requests.flush()) {
    const length = readAll(bytes);
    if (length === 0) break;
    const from = Math.min(skip, length);
    skip -= from;
    for (let at = from; at < length; at += requestBytes)
      arrived.push(decodeRequest(bytes.slice(at, at + requestBytes)).machineId);
  }
  expect(arrived).toEqual(ids.slice(3));
});

test("a report that does not fit keeps the next one away, and is whole in the end", () => {
  const filler = fill(pipe);
  const reports = new ReportsPipe(pipe.writeFd);
  const long = "x".repeat(10_000);
  expect(reports.write({ kind: "failed", message: long })).toBe(true);
  expect(reports.write({ kind: "failed", message: "two" })).toBe(false);
  const bytes = new Uint8Array(65_536);
  let text = "";
  for (let skip = filler; ; reports.flush()) {
    const length = readAll(bytes);
    if (length === 0) break;
    const from = Math.min(skip, length);
    skip -= from;
    text += Buffer.from(bytes.subarray(from, length)).toString("latin1");
  }
  expect(JSON.parse(text)).toEqual({ kind: "failed", message: long });
  expect(reports.write({ kind: "failed", message: "three" })).toBe(true);
});

test("a broker that is gone is no reason to fail: the records say so", () => {
  closeSync(pipe.readFd);
  const requests = new RequestsPipe(pipe.writeFd);
  requests.send([{ kind: "start", machineId }]);
  expect(new ReportsPipe(pipe.writeFd).write({ kind: "failed", message: "" })).toBe(true);
});

function fill({ writeFd }: Pipe): number {
  let bytes = 0;
  try {
    for (;;) bytes += writeSync(writeFd, new Uint8Array(4096));
  } catch {
    return bytes;
  }
}

function readAll(into: Uint8Array): number {
  try {
    return readSync(pipe.readFd, into, 0, into.byteLength, null);
  } catch {
    return 0;
  }
}
