import { afterEach, beforeEach, expect, test } from "bun:test";
import { MachinesApiError } from "../../../../src/fly/api-error.ts";
import type { MachinePage } from "../../../../src/fly/machine-shape.ts";
import type { RelayRecord } from "../../../../src/roles/proxy/broker-record.ts";
import { DirectoryPoll } from "../../../../src/roles/proxy/broker/directory-poll.ts";
import { MachineMap } from "../../../../src/roles/proxy/broker/machine-map.ts";
import { VirtualClock } from "../virtual-clock.ts";

const id = "148e21ea7e46e8";
const started: MachinePage = {
  machines: [{ id, state: "started", private_ip: "fdaa::1" }],
  unreadable: 0,
};

let clock: VirtualClock;
let poll: DirectoryPoll;
let records: RelayRecord[];
let lines: string[];
let asked: number[];
let answer: () => Promise<MachinePage>;
let firstPages: MachinePage[];
let controller: AbortController;

beforeEach(() => {
  clock = new VirtualClock();
  records = [];
  lines = [];
  asked = [];
  answer = async () => started;
  firstPages = [];
  controller = new AbortController();
  poll = new DirectoryPoll({
    api: {
      listSummaries: async function* () {
        asked.push(clock.monotonicMs() - startMs);
        yield* firstPages;
        yield await answer();
      },
    },
    map: new MachineMap(),
    intervalMs: 15_000,
    clock,
    log: (level, event) => lines.push(`${level} ${event}`),
    tell: (record) => records.push(record),
  });
});

afterEach(() => controller.abort());

const startMs = new VirtualClock().monotonicMs();

function fails(kind: "unreachable" | "rate-limited" | "unauthorised"): () => Promise<MachinePage> {
  return async () => {
    throw new MachinesApiError(kind, "no", { action: "list machines", status: 400 });
  };
}

test("the first list is told whole, then that it was whole, then only what changes", async () => {
  void poll.run(controller.signal);
  await clock.advance(0);
  expect(records.map(({ kind }) => kind)).toEqual(["machine", "synced"]);
  expect(poll.isSynced).toBe(true);
  await clock.advance(30_000);
  expect(asked).toEqual([0, 15_000, 30_000]);
  expect(records.length).toBe(2);
  answer = async () => ({ machines: [{ id, state: "stopped" }], unreadable: 0 });
  await clock.advance(15_000);
  expect(records.slice(2)).toEqual([
    { kind: "machine", machineId: id, state: "stopped", address: undefined },
  ]);
  expect(lines).toEqual(["info directory-listed"]);
});

test("what is on a page is told before the next one is here, what is on none after the last", async () => {
  const other = { id: "148e21ea7e46e9", state: "stopped" };
  firstPages = [{ machines: [other], unreadable: 0 }];
  const next = Promise.withResolvers<MachinePage>();
  answer = async () => next.promise;
  void poll.run(controller.signal);
  await clock.advance(5000);
  expect(records.length).toBe(1);
  expect(poll.isSynced).toBe(false);
  next.resolve(started);
  await clock.advance(0);
  expect(records.map(({ kind }) => kind)).toEqual(["machine", "machine", "synced"]);
  firstPages = [];
  answer = async () => started;
  await clock.advance(30_000);
  expect(records.at(-1)).toEqual({ kind: "gone", machineId: other.id });
});

test("a list whose last page cannot be had removes nothing", async () => {
  void poll.run(controller.signal);
  await clock.advance(0);
  firstPages = [{ machines: [], unreadable: 0 }];
  answer = fails("unreachable");
  await clock.advance(300_000);
  expect(records.length).toBe(2);
});

test("until there is a first list it is tried again soon, less and less", async () => {
  answer = fails("unreachable");
  void poll.run(controller.signal);
  await clock.advance(60_000);
  expect(asked).toEqual([0, 1000, 3000, 7000, 15_000, 30_000, 45_000, 60_000]);
  expect(poll.isSynced).toBe(false);
  expect(poll.ageMs(clock.monotonicMs())).toBe(60_000);
  answer = async () => started;
  await clock.advance(15_000);
  expect(poll.ageMs(clock.monotonicMs())).toBe(0);
  expect(lines).toEqual(["error directory-not-listed", "info directory-listed"]);
});

test("errors keep the map, are logged once per cause, and the list grows old meanwhile", async () => {
  void poll.run(controller.signal);
  await clock.advance(0);
  answer = fails("unauthorised");
  await clock.advance(150_000);
  answer = fails("unreachable");
  await clock.advance(150_000);
  expect(records.length).toBe(2);
  expect(poll.ageMs(clock.monotonicMs())).toBe(300_000);
  expect(lines).toEqual([
    "info directory-listed",
    "error directory-not-listed",
    "error directory-not-listed",
  ]);
});

test("whoever asks to slow down is asked half as often", async () => {
  void poll.run(controller.signal);
  await clock.advance(0);
  answer = fails("rate-limited");
  await clock.advance(75_000);
  expect(asked).toEqual([0, 15_000, 45_000, 75_000]);
});

test("a list that was under way when we stop is of no interest any more", async () => {
  const never = Promise.withResolvers<MachinePage>();
  answer = async () => never.promise;
  const running = poll.run(controller.signal);
  await clock.advance(1000);
  controller.abort();
  never.reject(new Error("Aborted"));
  await running;
  expect(lines).toEqual([]);
});
