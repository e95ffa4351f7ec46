import { expect, test } from "bun:test";
import fc from "fast-check";
import { machineStates } from "../../../src/roles/proxy/broker-record.ts";
import type { Decision, Flow } from "../../../src/roles/proxy/decision.ts";
import { seeded } from "../../support/seed.ts";
import { type Outcome, RelayModel } from "./relay-model.ts";
import { client, keyOf, machineId, RelayStage } from "./relay-stage.ts";

const machine = fc.nat(2);
const port = fc.nat(3);
const at = { machine, port };
const kind = <Name extends string>(name: Name) => fc.constant(name);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind("admit"), ...at }) },
  { weight: 6, arbitrary: fc.record({ kind: kind("bare"), ...at }) },
  { weight: 2, arbitrary: fc.record({ kind: kind("same"), ...at }) },
  { weight: 2, arbitrary: fc.record({ kind: kind("forged"), isBare: fc.boolean(), ...at }) },
  { weight: 2, arbitrary: fc.record({ kind: kind("again"), ...at, back: fc.nat(20) }) },
  { weight: 6, arbitrary: fc.record({ kind: kind("answer"), ...at }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: kind("state"),
      machine,
      state: fc.constantFrom(...machineStates),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: kind("started"), machine }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("gone"), machine }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("failed"), machine, retryS: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind("lost"), ...at }) },
  { weight: 4, arbitrary: fc.record({ kind: kind("pass"), quarters: fc.nat(60) }) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const idleMs = 15_000;

/** Core and model side by side; every difference is an error. */
class SideBySide {
  readonly stage = new RelayStage({ machines: 0, sessionTimeoutMs: idleMs });
  readonly model = new RelayModel(idleMs);
  readonly #admissions: Uint8Array[] = [];
  readonly #ids = new Map<string, Uint8Array>();
  #flows = new Map<string, Flow>();

  do(action: Step): void {
    const nowMs = this.stage.now.monotonicMs;
    switch (action.kind) {
      case "admit": {
        const datagram = this.stage.admission(action.machine);
        this.#admissions.push(datagram);
        this.#expect(action, this.model.admit(action.machine, action.port, nowMs), datagram);
        break;
      }
      case "bare":
      case "same": {
        const name = `${action.machine} ${action.port}`;
        const known = action.kind === "same" ? this.#ids.get(name) : undefined;
        const datagram = known ?? this.stage.bare(action.machine);
        this.#ids.set(name, datagram);
        this.#expect(action, this.model.bare(action.machine, action.port, nowMs), datagram);
        break;
      }
      case "forged": {
        const key = keyOf(action.machine, { epoch: 1, master: new Uint8Array(32).fill(77) });
        const datagram = action.isBare
          ? this.stage.bare(action.machine, key)
          : this.stage.admission(action.machine, { key });
        this.#expect(action, "drop", datagram);
        break;
      }
      case "again": {
        const datagram = this.#admissions.at(-1 - action.back);
        if (datagram !== undefined) this.#expect(action, "drop", datagram);
        break;
      }
      case "answer": {
        const flow = this.#flows.get(`${action.machine} ${action.port}`);
        const expected = this.model.find(action.machine, action.port);
        if (flow === undefined) break;
        expect(this.stage.answer(flow, 20)).toBe(expected === undefined ? "flows" : null);
        if (expected !== undefined) Object.assign(expected, { heard: true, askedMs: undefined });
        break;
      }
      default:
        this.#happen(action, nowMs);
    }
    this.compare();
  }

  /** What clients have no part in. */
  #happen(
    action: Exclude<Step, { port: number }> | Extract<Step, { kind: "lost" }>,
    nowMs: number,
  ): void {
    switch (action.kind) {
      case "state":
      case "started": {
        const state = action.kind === "state" ? action.state : "started";
        this.stage.machine(action.machine, state);
        this.model.set(action.machine, state, nowMs);
        break;
      }
      case "gone":
        this.stage.learn({ kind: "gone", machineId: machineId(action.machine) });
        this.model.remove(action.machine, nowMs);
        break;
      case "failed": {
        const { retryS } = action;
        const id = machineId(action.machine);
        this.stage.learn({ kind: "start", machineId: id, outcome: "failed", retryS });
        this.model.fail(action.machine, retryS, nowMs);
        break;
      }
      case "lost": {
        const flow = this.#flows.get(`${action.machine} ${action.port}`);
        if (flow !== undefined) this.stage.core.flowClosed(flow);
        this.model.lose(action.machine, action.port);
        break;
      }
      case "pass":
        for (let quarter = 0; quarter < action.quarters; quarter++) {
          this.stage.pass(250);
          this.model.tick(this.stage.now.monotonicMs);
        }
        break;
    }
  }

  compare(): void {
    for (const { flow } of this.stage.released) this.#note(flow);
    this.stage.released.length = 0;
    const { flows, held } = this.model;
    expect(this.stage.core.gauges).toMatchObject({
      flows: flows.length,
      unconfirmed_flows: flows.filter((flow) => !flow.confirmed).length,
      machines: this.model.machines.size,
      held_bytes: held.length * 1228,
    });
  }

  #expect(place: { machine: number; port: number }, outcome: Outcome, datagram: Uint8Array): void {
    const decision = this.stage.send(datagram, client(place.port));
    expect(outcomeOf(decision)).toBe(outcome);
    if (decision.kind !== "forward") return;
    expect(decision.machineId).toBe(machineId(place.machine));
    expect(decision.source).toEqual(client(place.port));
    this.#note(decision);
  }

  #note(flow: Flow): void {
    const number = Number.parseInt(flow.machineId.slice(-4), 16);
    this.#flows.set(`${number} ${Number(flow.source.key) % 65_536}`, flow);
  }
}

/** To a client, a hint is a datagram that was dropped. */
function outcomeOf({ kind: decided }: Decision): Outcome {
  return decided === "hint" ? "drop" : decided;
}

test("the core does what the model does, as long as no limit is reached", () => {
  const property = fc.property(
    fc.array(step, { minLength: 20, maxLength: 120, size: "max" }),
    (steps) => {
      const both = new SideBySide();
      for (const each of steps) {
        both.do(each);
        // A flow that is lost and found again counts as new.
        if (both.stage.core.drops["new-flow-rate"] > 0) return;
      }
    },
  );
  fc.assert(property, seeded(250));
});
