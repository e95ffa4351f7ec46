import { beforeEach, expect, test } from "bun:test";
import { type ApiErrorKind, MachinesApiError } from "../../../../src/fly/api-error.ts";
import type { FlyMachine } from "../../../../src/fly/machine-shape.ts";
import type { WantedState } from "../../../../src/fly/machine-wish.ts";
import type { RelayRecord } from "../../../../src/roles/proxy/broker-record.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { MachineMap } from "../../../../src/roles/proxy/broker/machine-map.ts";
import { MachineStarter } from "../../../../src/roles/proxy/broker/machine-starter.ts";
import { VirtualClock } from "../virtual-clock.ts";

const id = "148e21ea7e46e8";
const idAt = (index: number): string => index.toString(16).padStart(14, "0");

let clock: VirtualClock;
let map: MachineMap;
let starter: MachineStarter;
let calls: string[];
let records: RelayRecord[];
let outcomes: string[];
let lookedUp: string[];
let start: () => Promise<void>;
let read: () => Promise<FlyMachine>;
let wait: (machineId: string, wanted: WantedState) => Promise<FlyMachine>;
let controller: AbortController;

beforeEach(() => {
  clock = new VirtualClock();
  map = new MachineMap();
  calls = [];
  records = [];
  outcomes = [];
  lookedUp = [];
  controller = new AbortController();
  start = async () => undefined;
  read = async () => ({ id, state: "stopped" });
  wait = async (machineId) => {
    await clock.sleep(2000, undefined);
    return { id: machineId, state: "started", private_ip: "fdaa::2" };
  };
  starter = new MachineStarter({
    api: {
      startMachine: async (machineId) => {
        calls.push(`start ${machineId}`);
        await start();
      },
      readMachine: async (machineId) => {
        calls.push(`read ${machineId}`);
        return read();
      },
      waitForState: async (machineId, wanted) => {
        calls.push(`wait ${machineId}`);
        return wait(machineId, wanted);
      },
    },
    map,
    clock,
    signal: controller.signal,
    log: () => undefined,
    tell: (record) => records.push(record),
    count: (outcome) => outcomes.push(outcome),
    lookUp: (machineId) => lookedUp.push(machineId),
  });
});

function has(state: string, machineId = id): void {
  map.see({ id: machineId, state, private_ip: "fdaa::1" }, clock.monotonicMs());
}

function failsWith(kind: ApiErrorKind): () => Promise<never> {
  return async () => {
    throw new MachinesApiError(kind, "no", { action: "start machine" });
  };
}

const said = (): string[] =>
  records.map((record) => {
    if (record.kind === "start") return `${record.outcome} ${record.retryS}`;
    return record.kind === "machine" ? `${record.state} ${record.address}` : record.kind;
  });

test.each(["stopped", "suspended", "created", "failed"])(
  "a machine that is %s is started, waited for, and told with its address of now",
  async (state) => {
    has(state);
    starter.ask(id);
    await clock.advance(1000);
    expect(said()).toEqual(["starting 0"]);
    expect(starter.inFlight).toBe(1);
    // Asked again meanwhile: nothing is done twice.
    starter.ask(id);
    await clock.advance(1000);
    expect(said()).toEqual(["starting 0", "starting 0", "started fdaa::2"]);
    expect(calls).toEqual([`start ${id}`, `wait ${id}`]);
    expect(outcomes).toEqual(["started"]);
    expect(starter.inFlight).toBe(0);
  },
);

test("a machine that runs already is told so, without a call", async () => {
  has("started");
  starter.ask(id);
  await clock.advance(0);
  expect(said()).toEqual(["started fdaa::1"]);
  expect(calls).toEqual([]);
});

test.each(["starting", "stopping", "suspending", "replacing", "hibernating"])(
  "a machine that is %s is looked at, not started",
  async (state) => {
    has(state);
    starter.ask(id);
    await clock.advance(0);
    expect(lookedUp).toEqual([id]);
    expect(calls).toEqual([]);
  },
);

test("a machine that nobody has heard of is looked at, not started", () => {
  starter.ask(id);
  expect(lookedUp).toEqual([id]);
});

test("a failed start is told with its pause, and not tried again before", async () => {
  has("stopped");
  start = failsWith("no-capacity");
  starter.ask(id);
  await clock.advance(0);
  expect(said()).toEqual(["starting 0", "failed 10"]);
  expect(lookedUp).toEqual([id]);
  await clock.advance(4000);
  starter.ask(id);
  await clock.advance(0);
  expect(said().slice(2)).toEqual(["failed 6"]);
  expect(outcomes).toEqual(["failed", "too-soon"]);
  await clock.advance(6000);
  starter.ask(id);
  await clock.advance(0);
  expect(said().slice(3)).toEqual(["starting 0", "failed 20"]);
});

test("a machine that went another way fails early", async () => {
  has("stopped");
  let failures: readonly string[] | undefined;
  wait = async (_, wanted) => {
    failures = wanted.failures;
    return failsWith("refused")();
  };
  starter.ask(id);
  await clock.advance(0);
  expect(said()).toEqual(["starting 0", "failed 10"]);
  expect(failures).toContain("failed");
});

test("a start whose answer was lost counts when the machine comes up", async () => {
  has("stopped");
  start = failsWith("lost");
  read = async () => ({ id, state: "starting" });
  starter.ask(id);
  await clock.advance(2000);
  expect(calls).toEqual([`start ${id}`, `read ${id}`, `wait ${id}`]);
  expect(outcomes).toEqual(["started"]);
});

test("a machine that is gone by now is told to be gone", async () => {
  has("stopped");
  start = failsWith("not-found");
  starter.ask(id);
  await clock.advance(0);
  expect(said()).toEqual(["starting 0", "failed 10", "gone"]);
  expect(calls).toEqual([`start ${id}`]);
});

test("a machine that keeps stopping rests after 20 starts in an hour", async () => {
  for (let round = 0; round <= brokerLimits.startsPerHourPerMachineMax; round++) {
    has("stopped");
    starter.ask(id);
    await clock.advance(60_000);
  }
  expect(outcomes.filter((outcome) => outcome === "started").length).toBe(20);
  expect(said().at(-1)).toBe("resting 2400");
});

test("whatever is asked, one start a second goes out, three at once, 30 a minute", async () => {
  const sentMs: number[] = [];
  start = async () => void sentMs.push(clock.monotonicMs());
  for (let index = 0; index < 1000; index++) has("stopped", idAt(index));
  for (let second = 0; second < 60; second++) {
    for (let index = 0; index < 1000; index++) starter.ask(idAt(index));
    await clock.advance(1000);
  }
  expect(sentMs.length).toBe(brokerLimits.startsPerMinuteMax);
  const [firstMs = 0] = sentMs;
  expect(sentMs.slice(0, 6).map((timeMs) => timeMs - firstMs)).toEqual([0, 0, 0, 1000, 2000, 3000]);
  expect(outcomes).toContain("busy");
  // Nobody tried to start those that have to wait, so none of them failed.
  expect(said().filter((words) => words.startsWith("failed"))).toEqual([]);
  expect(said()).toContain("busy 31");
});

test("a start too soon after one that came up is a matter of waiting, and no failure", async () => {
  has("stopped");
  starter.ask(id);
  await clock.advance(3000);
  has("stopped");
  starter.ask(id);
  expect(said().at(-1)).toBe("busy 7");
});

test("nothing is said any more of starts that end with us", async () => {
  has("stopped");
  wait = async () => {
    await clock.sleep(60_000, controller.signal);
    throw new Error("not reached");
  };
  starter.ask(id);
  await clock.advance(1000);
  controller.abort();
  await clock.advance(1000);
  expect(said()).toEqual(["starting 0"]);
  expect(outcomes).toEqual([]);
});
