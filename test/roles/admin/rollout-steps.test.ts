import { expect, test } from "bun:test";
import type { Answer, Call, MachineView } from "../../../src/roles/admin/rollout-call.ts";
import {
  decodeJournal,
  encodeRecord,
  type PlanRecord,
  type StepRecord,
} from "../../../src/roles/admin/rollout-record.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { RolloutState } from "../../../src/roles/admin/rollout-state.ts";
import { Rollout, type RolloutOutput } from "../../../src/roles/admin/rollout.ts";
import { SimulatedFleet } from "./simulated-fleet.ts";
import { VirtualTime } from "../../support/virtual-time.ts";
import { seededRandom } from "../../support/seed.ts";

const old = `r/i@sha256:${"0".repeat(64)}`;
const fleetPlan = new SimulatedFleet(new VirtualTime(), seededRandom(1), 3).plan({
  soakMs: 0,
  handshake: false,
  concurrency: 2,
  canary: 0,
});
const planOf = (count: number): PlanRecord => ({
  ...fleetPlan,
  machines: ["a", "b", "c"].slice(0, count).map((id) => ({ id, tenant: id, region: "ord" })),
});
const seen = (more: Partial<MachineView> = {}): Answer => ({
  kind: "seen",
  view: {
    state: "started",
    version: "1",
    image: old,
    pinned: old,
    cordoned: false,
    badChecks: [],
    exitedAtMs: 0,
    crashed: false,
    ...more,
  },
});
const updated = seen({ image: fleetPlan.image, pinned: fleetPlan.image, version: "2" });
const done: Answer = { kind: "done" };
const leased: Answer = { kind: "leased", nonce: "n" };

/** A rollout whose calls are answered by hand. */
class Hand {
  readonly rollout: Rollout;
  readonly records: StepRecord[] = [];
  nowMs = 0;
  readonly #open: { machine: string; call: Call }[] = [];

  constructor(count = 1, records: readonly StepRecord[] = []) {
    this.rollout = new Rollout(new RolloutState(planOf(count), records));
    this.#take(this.rollout.start(0));
  }

  /** The calls that have no answer yet: `read a`. */
  get open(): string[] {
    return this.#open.map(({ machine, call }) => `${call.kind} ${machine}`);
  }

  answer(which: string, answer: Answer): void {
    const at = this.open.indexOf(which);
    const [found] = this.#open.splice(at, at === -1 ? 0 : 1);
    if (found === undefined) throw new Error(`no ${which} among ${this.open.join(", ")}`);
    this.#take(this.rollout.handle({ kind: "answer", ...found, answer }, this.nowMs));
  }

  /** To the end of the gates, without the way back. */
  upTo(step: "update" | "uncordon", machine = "a"): void {
    this.answer(`lease ${machine}`, leased);
    this.answer(`read ${machine}`, seen());
    this.answer(`cordon ${machine}`, done);
    if (step === "update") return;
    this.answer(`update ${machine}`, updated);
    this.answer(`read ${machine}`, updated);
  }

  wait(ms: number): void {
    this.nowMs += ms;
    this.#take(this.rollout.handle({ kind: "time" }, this.nowMs));
  }

  #take(outputs: readonly RolloutOutput[]): void {
    for (const output of outputs) {
      if (output.kind === "record") this.records.push(output.record);
      if (output.kind !== "call") continue;
      const { machine, call } = output;
      this.#open.push({ machine, call });
    }
  }
}

test("a lease that is renewed is given back after that, not before: the renewal would take it anew", () => {
  const hand = new Hand();
  hand.upTo("uncordon");
  hand.wait(10_000);
  expect(hand.open).toEqual(["uncordon a", "renew a"]);
  hand.answer("uncordon a", done);
  expect([hand.open, hand.rollout.deadlineMs]).toEqual([["renew a"], undefined]);
  hand.answer("renew a", leased);
  expect(hand.open).toEqual(["release a"]);
  hand.wait(20_000);
  expect([hand.open, hand.rollout.deadlineMs]).toEqual([["release a"], undefined]);
  hand.answer("release a", done);
  expect([hand.rollout.isOver, hand.records.at(-1)]).toEqual([true, { type: "finish" }]);
});

test("no change is sent under a lease that may be over: it is taken again, and the machine looked at", () => {
  const hand = new Hand();
  hand.answer("lease a", leased);
  hand.nowMs = 26_000;
  hand.answer("read a", seen());
  expect(hand.open).toEqual(["renew a", "lease a"]);
  hand.answer("lease a", leased);
  expect(hand.open).toEqual(["renew a", "read a"]);
});

test("a machine between two states is looked at again before anything is said of it", () => {
  const hand = new Hand();
  hand.answer("lease a", leased);
  hand.answer("read a", seen({ state: "replacing" }));
  expect([hand.open, hand.records.map(({ type }) => type)]).toEqual([[], ["lease", "leased"]]);
  hand.wait(500);
  hand.answer("read a", seen({ state: "stopped" }));
  expect(hand.records.at(-2)).toMatchObject({ type: "begin", runs: false, cordon: false });
  expect(hand.open).toEqual(["update a"]);
});

test("a machine that vanishes after its update is a failure; one whose update was refused is not", () => {
  const gone: Answer = { kind: "fault", fault: { kind: "not-found", words: "gone" } };
  for (const [answer, turned] of [
    [updated, true],
    [{ kind: "fault", fault: { kind: "refused", words: "destroyed" } }, true],
    [{ kind: "fault", fault: { kind: "conflict", words: "destroyed" } }, false],
  ] as const) {
    const hand = new Hand();
    hand.upTo("update");
    hand.answer("update a", answer);
    for (let times = 0; times < 9 && !hand.rollout.isOver; times += 1) {
      for (const each of hand.open) hand.answer(each, gone);
      hand.wait(10_000);
    }
    expect(hand.rollout.state.machines.get("a")?.ended?.outcome).toBe("gone");
    expect([answer, hand.rollout.state.turned !== undefined]).toEqual([answer, turned]);
  }
});

test("one fails: the one at work beside it goes back first, and both keep their leases until then", () => {
  const hand = new Hand(3);
  hand.upTo("update", "a");
  hand.upTo("update", "b");
  hand.answer("update b", updated);
  hand.answer("read b", seen({ state: "failed", image: fleetPlan.image, version: "2" }));
  expect(hand.rollout.state.turned).toContain("failed");
  // The answer that is under way is waited for; then b goes back, as the newest change.
  expect(hand.open).toEqual(["update a"]);
  hand.answer("update a", updated);
  expect(hand.open).toEqual(["read b"]);
  hand.wait(10_000);
  expect(hand.open.toSorted()).toEqual(["read b", "renew a", "renew b"]);
  expect(hand.rollout.tours.get("a")).toMatchObject({ goal: "old", parked: true });
  expect(hand.rollout.state.machines.get("c")?.open).toBeUndefined();
});

test("after a crash only what the journal has open is taken up, before anything new", () => {
  const begun: StepRecord[] = [
    { type: "lease", machine: "b" },
    { type: "leased", machine: "b", nonce: "kept" },
  ];
  const hand = new Hand(3, begun);
  expect(hand.open).toEqual(["lease b", "lease a"]);
  const turned = new Hand(3, [...begun, { type: "turn", machine: "a", reason: "sick" }]);
  expect(turned.open).toEqual(["lease b"]);
  turned.answer("lease b", leased);
  expect(turned.open).toEqual(["release b"]);
  turned.answer("release b", done);
  expect([turned.rollout.isOver, turned.rollout.state.finished]).toEqual([true, true]);
});

test("a machine that a failed rollback left down is to run again after the resume", () => {
  const failed: StepRecord[] = [
    { type: "lease", machine: "a" },
    { type: "begin", machine: "a", image: old, pinned: old, runs: true, cordon: true },
    { type: "update", machine: "a", to: "new" },
    { type: "turn", machine: "a", reason: "sick" },
    { type: "end", machine: "a", outcome: "failed" },
    { type: "resume", at: "now" },
  ];
  const hand = new Hand(1, failed);
  hand.answer("lease a", leased);
  hand.answer(
    "read a",
    seen({ state: "stopped", image: fleetPlan.image, pinned: fleetPlan.image }),
  );
  expect(hand.records.at(-1)).toMatchObject({ type: "begin", runs: true, cordon: true });
  expect(hand.open).toEqual(["cordon a"]);
});

test("whatever a machine says of itself, the journal can be read again", () => {
  const hand = new Hand();
  hand.upTo("update");
  hand.answer("update a", updated);
  const badChecks = Array.from({ length: 200 }, (_, at) => `check number ${at} is critical`);
  const sick = seen({ image: fleetPlan.image, version: "2", badChecks });
  hand.answer("read a", sick);
  hand.wait(40_000);
  hand.answer("read a", sick);
  expect(hand.rollout.state.turned).toContain("check number 0 is critical");
  const text = [fleetPlan, ...hand.records].map(encodeRecord).join("");
  expect(decodeJournal(new TextEncoder().encode(text)).steps).toEqual(hand.records);
});

test("an answer from before its update does not pass for a machine that went back, or came to rest", () => {
  const hand = new Hand(1, [
    { type: "lease", machine: "a" },
    { type: "begin", machine: "a", image: old, pinned: old, runs: false, cordon: false },
    { type: "update", machine: "a", to: "new" },
    { type: "turn", machine: "b", reason: "sick" },
  ]);
  const onNew = { image: fleetPlan.image, pinned: fleetPlan.image, version: "2" };
  hand.answer("lease a", leased);
  hand.answer("read a", seen({ state: "stopped" }));
  hand.wait(rolloutLimits.doubtMs);
  hand.answer("read a", seen({ ...onNew, state: "stopped" }));
  hand.answer("update a", seen({ state: "replacing", version: "3" }));
  hand.answer("read a", seen({ ...onNew, state: "stopped" }));
  expect(hand.open).toEqual([]);
  hand.wait(500);
  hand.answer("read a", seen({ state: "stopped", version: "3" }));
  hand.answer("release a", done);
  expect(hand.rollout.state.machines.get("a")?.ended?.outcome).toBe("rolled-back");
});

const changed = (machine: string): StepRecord[] => [
  { type: "lease", machine },
  { type: "begin", machine, image: old, pinned: old, runs: true, cordon: true },
  { type: "update", machine, to: "new" },
  { type: "end", machine, outcome: "updated" },
];

test("in a rollback one that was held up and comes free waits for the one that went on without it", () => {
  const hand = new Hand(2, [
    ...changed("a"),
    ...changed("b"),
    { type: "turn", machine: "c", reason: "sick" },
  ]);
  const onNew = seen({ image: fleetPlan.image, pinned: fleetPlan.image });
  hand.answer("lease b", { kind: "fault", fault: { kind: "conflict", words: "held" } });
  expect(hand.open).toEqual(["lease a"]);
  hand.answer("lease a", leased);
  hand.wait(rolloutLimits.pollMs);
  hand.answer("lease b", { kind: "leased", nonce: "m" });
  hand.answer("read a", onNew);
  expect([hand.open, hand.rollout.tours.get("b")?.parked]).toEqual([["cordon a"], true]);
  hand.answer("cordon a", done);
  hand.answer("update a", seen({ version: "3" }));
  hand.answer("read a", seen({ version: "3" }));
  hand.answer("uncordon a", done);
  hand.answer("release a", done);
  expect(hand.open).toEqual(["read b"]);
});
