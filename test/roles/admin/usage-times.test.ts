import { expect, test } from "bun:test";
import fc from "fast-check";
import type { FlyMachine } from "../../../src/fly/machine-shape.ts";
import { usageFact } from "../../../src/roles/admin/usage-fact.ts";
import { oneRowEach, usageFacts } from "../../../src/roles/admin/usage-snapshot.ts";
import { seeded } from "../../support/seed.ts";

const at = (minute: number): number => Date.parse("2026-11-01T00:00:00Z") + minute * 60_000;
const text = (minute: number): string => new Date(at(minute)).toISOString();
type Event = readonly [type: string, status: string | undefined, minute: number];
const machine = (
  state: string,
  events: readonly Event[],
  more: Record<string, unknown> = {},
): FlyMachine => ({
  id: "148e21ea7e46e8",
  state,
  created_at: "2026-11-01T00:00:00Z",
  updated_at: text(99),
  events: events.map(([type, status, minute], index) => ({
    id: `01EVENT${String(1000 - index)}`,
    type,
    status,
    timestamp: at(minute),
    source: "flyd",
  })),
  ...more,
});
const times = (of: FlyMachine): (string | undefined)[] => {
  const { started_at, stopped_at, deleted_at } = usageFact(of, new Map());
  return [started_at, stopped_at, deleted_at];
};

test("a machine that was restarted has its last start, and the stop before it", () => {
  const events: Event[] = [
    ["start", "started", 30],
    ["start", "starting", 29],
    ["exit", "stopped", 28],
    ["stop", "stopping", 27],
    ["start", "started", 2],
    ["launch", "created", 1],
  ];
  expect(times(machine("started", events))).toEqual([text(30), text(28), undefined]);
  expect(times(machine("started", events.toReversed()))).toEqual([text(30), text(28), undefined]);
});

test("a suspended machine has stopped, and resumed it has started", () => {
  const suspended: Event[] = [
    ["suspend", "suspended", 20],
    ["suspend", "suspending", 19],
    ["start", "started", 2],
  ];
  expect(times(machine("suspended", suspended))).toEqual([text(2), text(20), undefined]);
  const resumed: Event[] = [["start", "started", 40], ...suspended];
  expect(times(machine("started", resumed))).toEqual([text(40), text(20), undefined]);
});

test("a deleted machine keeps the times of its life", () => {
  const events: Event[] = [
    ["destroy", "destroyed", 50],
    ["destroy", "destroying", 49],
    ["exit", "stopped", 48],
    ["start", "started", 2],
  ];
  expect(times(machine("destroyed", events))).toEqual([text(2), text(48), text(50)]);
  // Killed while it ran: it ran until it was deleted.
  expect(times(machine("destroyed", [["start", "started", 2]]))).toEqual([
    text(2),
    undefined,
    text(99),
  ]);
});

test("a machine that was migrated lives on: no deletion, and its creation stays", () => {
  const events: Event[] = [
    ["start", "started", 61],
    ["launch", "created", 60],
    ["destroy", "destroyed", 62],
  ];
  const moved = machine("started", events);
  expect(times(moved)).toEqual([text(61), undefined, undefined]);
  expect(usageFact(moved, new Map()).created_at).toBe(text(0));
  const left = machine("migrated", [["start", "started", 2]], { updated_at: text(200) });
  expect(oneRowEach([left, moved])).toEqual([moved]);
  expect(oneRowEach([moved, left])).toEqual([moved]);
});

test("where no event tells of the present state, the last change does", () => {
  expect(times(machine("started", []))).toEqual([text(99), undefined, undefined]);
  expect(times(machine("stopped", []))).toEqual([undefined, text(99), undefined]);
  expect(times(machine("suspended", []))).toEqual([undefined, text(99), undefined]);
  expect(times(machine("destroyed", []))).toEqual([undefined, undefined, text(99)]);
  expect(times(machine("created", []))).toEqual([undefined, undefined, undefined]);
  const young = machine("started", [], { updated_at: undefined });
  expect(times(young)).toEqual([text(0), undefined, undefined]);
  expect(times(machine("started", [], { updated_at: "never", created_at: null }))).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  // The events end before the state began.
  const stop: Event[] = [["stop", "stopped", 40]];
  expect(times(machine("started", stop))).toEqual([text(99), text(40), undefined]);
  const start: Event[] = [["start", "started", 40]];
  expect(times(machine("stopped", start))).toEqual([text(40), text(99), undefined]);
});

test("events without a status count by their type, and nonsense does not count", () => {
  expect(times(machine("started", [["start", undefined, 7]]))[0]).toBe(text(7));
  expect(times(machine("stopped", [["stop", "", 8]]))[1]).toBe(text(8));
  expect(times(machine("started", [["start", "failed", 7]]))[0]).toBe(text(99));
  const strange = [null, 1, "x", { timestamp: "soon", status: "started" }, { timestamp: 9e99 }];
  expect(times(machine("started", [], { events: strange }))[0]).toBe(text(99));
  expect(times(machine("started", [], { events: "none" }))[0]).toBe(text(99));
});

test("the order of the events makes no difference", () => {
  const event = fc.record({
    id: fc.uuid(),
    type: fc.constantFrom("start", "stop", "exit", "launch", "destroy", "suspend", "update"),
    status: fc.constantFrom("started", "stopped", "suspended", "destroyed", "starting", "created"),
    timestamp: fc.integer({ min: at(0), max: at(90) }),
  });
  const state = fc.constantFrom("started", "stopped", "suspended", "destroyed", "created", "?");
  fc.assert(
    fc.property(
      state,
      fc.uniqueArray(event, { selector: ({ timestamp }) => timestamp }),
      (s, e) => {
        const shuffled = e.toSorted((a, b) => (a.id < b.id ? -1 : 1));
        const one = times(machine(s, [], { events: e }));
        expect(times(machine(s, [], { events: shuffled }))).toEqual(one);
        const [started = "", stopped = "", deleted] = one;
        if (s === "started") expect(started >= stopped).toBe(true);
        if (s === "stopped" || s === "suspended") expect(stopped >= started).toBe(true);
        expect(deleted !== undefined).toBe(s === "destroyed");
      },
    ),
    seeded(300),
  );
});

test("empty optionals are left out, and sizes come from the volume, the mount, or are 30", () => {
  expect(usageFact({ id: "a", state: "created" }, new Map())).toEqual({
    machine_id: "a",
    state: "created",
  });
  const config = {
    metadata: {},
    mounts: [
      { volume: "vol_1", path: "/data", name: "data", size_gb: 5 },
      { volume: "vol_2", size_gb: 5 },
      { volume: "vol_3", size_gb: 0 },
      { path: "/none" },
    ],
  };
  const fact = usageFact({ id: "a", state: "created", config }, new Map([["vol_1", 7]]));
  expect(fact).toEqual({
    machine_id: "a",
    state: "created",
    volumes: [
      { volume_id: "vol_1", name: "data", mount_path: "/data", size_gib: 7 },
      { volume_id: "vol_2", size_gib: 5 },
      { volume_id: "vol_3", size_gib: 30 },
    ],
  });
});

test("facts are sorted by machine id", () => {
  const machines = oneRowEach(["c", "a", "b"].map((id) => ({ id, state: "created" })));
  const facts = usageFacts({ observedAtMs: 0, machines, volumeSizes: new Map() });
  expect(facts.map(({ machine_id }) => machine_id)).toEqual(["a", "b", "c"]);
});
