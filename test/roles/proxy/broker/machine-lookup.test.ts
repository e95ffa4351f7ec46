import { beforeEach, expect, test } from "bun:test";
import { MachinesApiError } from "../../../../src/fly/api-error.ts";
import type { FlyMachine } from "../../../../src/fly/machine-shape.ts";
import type { RelayRecord } from "../../../../src/roles/proxy/broker-record.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import {
  type LookupOutcome,
  MachineLookup,
} from "../../../../src/roles/proxy/broker/machine-lookup.ts";
import { MachineMap } from "../../../../src/roles/proxy/broker/machine-map.ts";
import { VirtualClock } from "../virtual-clock.ts";

const id = "148e21ea7e46e8";
const idAt = (index: number): string => index.toString(16).padStart(14, "0");

let clock: VirtualClock;
let map: MachineMap;
let lookup: MachineLookup;
let asked: string[];
let records: RelayRecord[];
let outcomes: LookupOutcome[];
let lines: string[];
let answer: (machineId: string) => Promise<FlyMachine>;

beforeEach(() => {
  clock = new VirtualClock();
  map = new MachineMap();
  asked = [];
  records = [];
  outcomes = [];
  lines = [];
  answer = async (machineId) => ({ id: machineId, state: "started", private_ip: "fdaa::1" });
  lookup = new MachineLookup({
    api: {
      readMachine: async (machineId) => {
        asked.push(machineId);
        return answer(machineId);
      },
    },
    map,
    clock,
    log: (level, event) => lines.push(`${level} ${event}`),
    tell: (record) => records.push(record),
    count: (outcome) => outcomes.push(outcome),
  });
});

async function ask(machineId: string): Promise<void> {
  lookup.ask(machineId);
  await clock.advance(0);
}

const missing = async (): Promise<FlyMachine> => {
  throw new MachinesApiError("not-found", "no", { action: "read machine", status: 404 });
};

test("a machine is looked up at once and told as it is", async () => {
  await ask(id);
  expect(records).toEqual([
    { kind: "machine", machineId: id, state: "started", address: "fdaa::1" },
  ]);
  answer = missing;
  await ask(idAt(1));
  expect(records[1]).toEqual({ kind: "gone", machineId: idAt(1) });
  expect(outcomes).toEqual(["found", "missing"]);
  expect(lines).toEqual([]);
});

test("of machines that nobody has heard of three at once, then one a second", async () => {
  for (let index = 0; index < 10; index++) await ask(idAt(index));
  expect(asked.length).toBe(3);
  for (let second = 0; second < 5; second++) {
    await clock.advance(1000);
    await ask(idAt(100 + second));
    await ask(idAt(200 + second));
  }
  expect(asked.length).toBe(8);
  expect(outcomes.filter((outcome) => outcome === "limited").length).toBe(12);
});

test("of machines there are ten at once, then five a second, whatever is asked of others", async () => {
  for (let index = 0; index < 20; index++) {
    map.see({ id: idAt(index), state: "starting" }, clock.monotonicMs());
    await ask(idAt(100 + index));
  }
  expect(asked.length).toBe(3);
  for (let index = 0; index < 20; index++) await ask(idAt(index));
  expect(asked.length).toBe(13);
  await clock.advance(1000);
  for (let index = 10; index < 20; index++) await ask(idAt(index));
  expect(asked.length).toBe(18);
});

test("one that is not there is asked for every ten seconds at most, one that is every two", async () => {
  answer = missing;
  await ask(id);
  await clock.advance(9999);
  await ask(id);
  expect(asked.length).toBe(1);
  await clock.advance(1);
  answer = async (machineId) => ({ id: machineId, state: "starting" });
  await ask(id);
  expect(asked.length).toBe(2);
  await clock.advance(1999);
  await ask(id);
  expect(asked.length).toBe(2);
  await clock.advance(1);
  await ask(id);
  expect(asked.length).toBe(3);
});

test("an error tells the relay nothing", async () => {
  answer = async () => {
    throw new MachinesApiError("unavailable", "no", { action: "read machine", status: 503 });
  };
  await ask(id);
  expect(records).toEqual([]);
  expect(outcomes).toEqual(["failed"]);
  expect(lines).toEqual(["warn machine-not-read"]);
});

test("an answer about another machine is about the one that was asked for", async () => {
  answer = async () => ({ id: idAt(7), state: "started" });
  await ask(id);
  expect(records.map((record) => "machineId" in record && record.machineId)).toEqual([id]);
});

test("of many ids only the last are remembered", async () => {
  answer = missing;
  for (let index = 0; index <= brokerLimits.lookupsRememberedMax; index++) {
    lookup.ask(idAt(index));
    await clock.advance(1000);
  }
  const before = asked.length;
  // Forgotten, or ten seconds ago in any case; the newest is neither.
  await ask(idAt(0));
  await ask(idAt(brokerLimits.lookupsRememberedMax));
  expect(asked.length).toBe(before + 1);
});
