import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  BrokerRecordError,
  decodeRecord,
  decodeRequest,
  encodeRecord,
  encodeRequest,
  machineStates,
  type RelayRecord,
  startOutcomes,
} from "../../../src/roles/proxy/broker-record.ts";
import { allowing } from "../../support/fuzz.ts";
import { seeded } from "../../support/seed.ts";

const machineId = "148e21ea7e46e8";

const id = fc
  .uint8Array({ minLength: 7, maxLength: 7 })
  .map((bytes) => Buffer.from(bytes).toString("hex"));
const record: fc.Arbitrary<RelayRecord> = fc.oneof(
  fc.record({
    kind: fc.constant("machine" as const),
    machineId: id,
    state: fc.constantFrom(...machineStates),
    address: fc.constantFrom(
      undefined,
      "10.1.2.3",
      "255.255.255.255",
      "fdaa::1",
      "fdaa:0:1:a7b::2",
    ),
  }),
  fc.record({ kind: fc.constant("gone" as const), machineId: id }),
  fc.record({
    kind: fc.constant("start" as const),
    machineId: id,
    outcome: fc.constantFrom(...startOutcomes),
    retryS: fc.nat(2 ** 32 - 1),
  }),
  fc.constantFrom({ kind: "synced" as const }, { kind: "drain" as const }),
);

describe("records of the broker", () => {
  test("come back as they were, from 32 bytes", () => {
    const property = fc.property(record, (given) => {
      const bytes = encodeRecord(given);
      expect(bytes).toHaveLength(32);
      expect(decodeRecord(bytes)).toEqual(given);
    });
    fc.assert(property, seeded(1000));
  });

  test("look like this", () => {
    const machine = { kind: "machine", machineId, state: "suspended", address: "fdaa::1" } as const;
    expect(Buffer.from(encodeRecord(machine)).toString("hex")).toBe(
      `00${machineId}0206fdaa0000000000000000000000000001000000000000`,
    );
  });

  test("times are whole seconds, never before they are over", () => {
    const start = { kind: "start", machineId, outcome: "failed" } as const;
    const retries = [0.1, 1, 1.5, -4, 2 ** 33].map((retryS) =>
      decodeRecord(encodeRecord({ ...start, retryS })),
    );
    expect(retries).toMatchObject([1, 1, 2, 0, 2 ** 32 - 1].map((retryS) => ({ retryS })));
  });

  test("any bytes are a record or an error of ours", () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 40 });
    const property = fc.property(bytes, fc.nat(5), (given, kind) => {
      if (given.byteLength > 0) given[0] = kind;
      allowing(BrokerRecordError, () => decodeRecord(given));
      allowing(BrokerRecordError, () => decodeRequest(given));
    });
    fc.assert(property, seeded(3000));
  });

  test.each([
    ["no kind", [5]],
    ["no state", [0, 1, 1, 1, 1, 1, 1, 1, machineStates.length]],
    ["no outcome", [2, 1, 1, 1, 1, 1, 1, 1, startOutcomes.length]],
    ["no family", [0, 1, 1, 1, 1, 1, 1, 1, 0, 5]],
  ])("one of %s is refused", (what, head) => {
    const bytes = new Uint8Array(32);
    bytes.set(head);
    expect(() => decodeRecord(bytes)).toThrow(what);
    expect(() => decodeRecord(bytes)).toThrow(BrokerRecordError);
  });

  test("one of another length is refused", () => {
    const bytes = encodeRecord({ kind: "gone", machineId });
    expect(() => decodeRecord(bytes.subarray(1))).toThrow(BrokerRecordError);
    expect(() => decodeRecord(Buffer.concat([bytes, Uint8Array.of(0)]))).toThrow(BrokerRecordError);
  });
});

describe("requests of the relay", () => {
  test.each(["lookup", "start"] as const)("%s comes back as it was, from 16 bytes", (kind) => {
    const bytes = encodeRequest({ kind, machineId });
    expect(bytes).toHaveLength(16);
    expect(decodeRequest(bytes)).toEqual({ kind, machineId });
  });

  test("of no kind or another length are refused", () => {
    const bytes = encodeRequest({ kind: "start", machineId });
    expect(() => decodeRequest(bytes.subarray(1))).toThrow(BrokerRecordError);
    bytes[0] = 2;
    expect(() => decodeRequest(bytes)).toThrow(BrokerRecordError);
    expect(() => decodeRequest(new Uint8Array(0))).toThrow(BrokerRecordError);
  });
});
