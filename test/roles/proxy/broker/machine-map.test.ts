import { expect, test } from "bun:test";
import type { MachineSummary } from "../../../../src/fly/machine-shape.ts";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { MachineMap } from "../../../../src/roles/proxy/broker/machine-map.ts";

const a = "148e21ea7e46e8";
const b = "148e21ea7e46e9";

const row = (
  id: string,
  state = "started",
  address: string | null = "fdaa::1",
): MachineSummary => ({
  id,
  state,
  private_ip: address,
});
const list = (...machines: MachineSummary[]) => ({ machines, unreadable: 0 });
const idAt = (index: number): string => index.toString(16).padStart(14, "0");

test("MachineMap tells the differences between lists, and no more", () => {
  const map = new MachineMap();
  expect(map.applyList(list(row(a), row(b, "stopped")), 1)).toEqual([
    { kind: "machine", machineId: a, state: "started", address: "fdaa::1" },
    { kind: "machine", machineId: b, state: "stopped", address: "fdaa::1" },
  ]);
  expect(map.applyList(list(row(a), row(b, "stopped")), 2)).toEqual([]);
  expect(map.applyList(list(row(a, "started", "fdaa::2"), row(b)), 3)).toEqual([
    { kind: "machine", machineId: a, state: "started", address: "fdaa::2" },
    { kind: "machine", machineId: b, state: "started", address: "fdaa::1" },
  ]);
});

test("a machine is gone after two lists without it, not after one", () => {
  const map = new MachineMap();
  map.applyList(list(row(a), row(b)), 1);
  expect(map.applyList(list(row(a)), 2)).toEqual([]);
  // It was but left out once.
  expect(map.applyList(list(row(a), row(b)), 3)).toEqual([]);
  expect(map.applyList(list(row(a)), 4)).toEqual([]);
  expect(map.applyList(list(row(a)), 5)).toEqual([{ kind: "gone", machineId: b }]);
  expect(map.applyList(list(row(a)), 6)).toEqual([]);
});

test("a list with rows that cannot be read removes nothing", () => {
  const map = new MachineMap();
  map.applyList(list(row(a), row(b)), 1);
  for (let at = 2; at < 30; at++)
    expect(map.applyList({ machines: [row(a)], unreadable: 1 }, at)).toEqual([]);
});

test("a list without most machines is not believed for a long time", () => {
  const map = new MachineMap();
  const many = Array.from({ length: 30 }, (_, index) => row(idAt(index)));
  map.applyList(list(...many), 1);
  for (let at = 2; at <= brokerLimits.shrunkenListsWithoutMin; at++)
    expect(map.applyList(list(...many.slice(0, 5)), at)).toEqual([]);
  expect(map.applyList(list(...many.slice(0, 5)), 100).length).toBe(25);
});

test("a machine that is destroyed is gone at once; one that was moved is what its newest row says", () => {
  const map = new MachineMap();
  map.applyList(list(row(a), row(b)), 1);
  expect(map.applyList(list(row(a, "destroyed"), row(b, "replaced"), row(b)), 2)).toEqual([
    { kind: "gone", machineId: a },
  ]);
  expect(map.applyList(list(row(b), row(b, "migrated"), row(b, "destroying")), 3)).toEqual([]);
});

test("an older list does not undo what was seen meanwhile", () => {
  const map = new MachineMap();
  map.applyList(list(row(a, "stopped")), 1);
  map.see(row(a), 5);
  expect(map.applyList(list(row(a, "stopped")), 4)).toEqual([]);
  expect(map.applyList(list(), 4)).toEqual([]);
  expect(map.record(a)?.state).toBe("started");
  expect(map.see(row(a, "stopped"), 4)).toMatchObject({ state: "started" });
  expect(map.applyList(list(row(a, "stopped")), 6).length).toBe(1);
});

test("an older word that there is none does not undo what was seen meanwhile", () => {
  const map = new MachineMap();
  map.see(row(a), 5);
  expect(map.forget(a, 4)).toEqual({
    kind: "machine",
    machineId: a,
    state: "started",
    address: "fdaa::1",
  });
  expect(map.forget(a, 5)).toEqual({ kind: "gone", machineId: a });
});

test("see answers even when nothing has changed, forget says that it is gone", () => {
  const map = new MachineMap();
  const started = { kind: "machine", machineId: a, state: "started", address: "fdaa::1" } as const;
  expect(map.see(row(a), 1)).toEqual(started);
  expect(map.see(row(a), 2)).toEqual(started);
  expect([...map.records()]).toEqual([started]);
  expect(map.see(row(a, "destroyed"), 3)).toEqual({ kind: "gone", machineId: a });
  expect(map.forget(b, 9)).toEqual({ kind: "gone", machineId: b });
});

test.each([
  ["starting", "starting"],
  ["restarting", "starting"],
  ["suspended", "suspended"],
  ["created", "created"],
  ["suspending", "suspending"],
  ["stopping", "stopping"],
  ["updating", "replacing"],
  ["launch_failed", "failed"],
  ["creating", "other"],
  ["hibernating", "other"],
  ["constructor", "other"],
] as const)("Fly's %s is %s to the relay", (state, expected) => {
  const map = new MachineMap();
  map.see(row(a, state), 1);
  expect(map.record(a)?.state).toBe(expected);
  expect(map.countByState()[expected]).toBe(1);
});

test.each([null, "", "machine.internal", "fe80::1%eth0", "999.1.1.1"])(
  "%p is no address to send to",
  (address) => {
    const map = new MachineMap();
    map.applyList(list(row(a, "started", address)), 1);
    expect(map.record(a)).toEqual({
      kind: "machine",
      machineId: a,
      state: "started",
      address: undefined,
    });
  },
);

test("ids that fit no record are left out, and so are machines above the limit", () => {
  const map = new MachineMap();
  expect(map.applyList(list(row("machine-1"), row("148E21EA7E46E8"), row("")), 1)).toEqual([]);
  const many = Array.from({ length: brokerLimits.machinesMax + 1 }, (_, index) => row(idAt(index)));
  expect(map.applyList(list(...many), 2).length).toBe(brokerLimits.machinesMax);
  expect([...map.records()].length).toBe(brokerLimits.machinesMax);
});
