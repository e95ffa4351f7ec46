import { expect, test } from "bun:test";
import type { Flow } from "../../../../src/roles/proxy/decision.ts";
import { proxyLimits as limits } from "../../../../src/roles/proxy/limits.ts";
import { between } from "../../../support/seed.ts";
import { client, machineId, nameOf, RelayStage } from "../relay-stage.ts";

/** The sockets that the loop would have open, by what it was told alone. */
class Sockets {
  readonly open = new Map<string, Flow>();
  /** Of machines with a new address: opened by the next datagram, if any comes. */
  readonly #moved = new Set<string>();
  readonly #stage: RelayStage;

  constructor(stage: RelayStage) {
    this.#stage = stage;
  }

  /** In the loop's order: what was decided, then what is to be closed. */
  note(decision: { readonly kind: string } | Flow): void {
    for (const name of this.#stage.closed.splice(0)) {
      expect([name, this.open.delete(name) || this.#moved.delete(name)]).toEqual([name, true]);
    }
    if ("descriptor" in decision) {
      this.open.set(nameOf(decision), decision);
      this.#moved.delete(nameOf(decision));
    }
    for (const { flow } of this.#stage.released.splice(0)) this.open.set(nameOf(flow), flow);
  }

  /** What was closed was not closed for good. */
  noteMoved(): void {
    for (const name of this.#stage.closed.splice(0)) {
      this.open.delete(name);
      this.#moved.add(name);
    }
  }

  counts(of: (flow: Flow) => unknown): number {
    const counts = new Map<unknown, number>();
    for (const flow of this.open.values()) counts.set(of(flow), (counts.get(of(flow)) ?? 0) + 1);
    return Math.max(0, ...counts.values());
  }
}

test("in a storm of clients, forged ones among them, no limit is passed and no socket forgotten", () => {
  const machines = 5;
  const stage = new RelayStage({ machines, sessionTimeoutMs: 60_000 });
  const sockets = new Sockets(stage);
  let most = { machine: 0, network: 0, tuple: 0 };
  for (let count = 0; count < 20_000; count++) {
    const machine = between(stage.random, 0, machines - 1);
    const source = client(between(stage.random, 0, 60), between(stage.random, 0, 2));
    const chance = stage.random();
    if (chance < 0.4) sockets.note(stage.send(stage.admission(machine), source));
    else if (chance < 0.8) sockets.note(stage.send(stage.bare(machine), source));
    else if (chance < 0.98) {
      const flows = [...sockets.open.values()];
      const flow = flows[between(stage.random, 0, flows.length - 1)];
      if (flow === undefined || stage.answer(flow, 20) !== null) continue;
      sockets.note(
        stage.send(stage.bare(Number.parseInt(flow.machineId.slice(-4), 16)), flow.source),
      );
    } else if (chance < 0.985) {
      const flow = sockets.open.values().next().value;
      if (flow === undefined) continue;
      stage.core.flowClosed(flow);
      sockets.open.delete(nameOf(flow));
    } else if (chance < 0.99) {
      stage.machine(machine, "started", `fdaa::${between(stage.random, 1, 3)}`);
      sockets.noteMoved();
    } else stage.pass(between(stage.random, 1, 4) * 250);
    if (count % 50 !== 0) continue;
    most = {
      machine: Math.max(
        most.machine,
        sockets.counts((flow) => flow.machineId),
      ),
      network: Math.max(
        most.network,
        sockets.counts((flow) => flow.source.network),
      ),
      tuple: Math.max(
        most.tuple,
        sockets.counts((flow) => flow.source.key),
      ),
    };
  }
  expect(most.machine).toBe(limits.flowsPerMachineMax);
  expect(stage.core.drops["unconfirmed-flows"]).toBeGreaterThan(0);
  expect(stage.core.drops["flows-of-network"]).toBeGreaterThan(0);
  expect(most.network).toBeLessThanOrEqual(limits.flowsPerNetworkMax);
  expect(most.tuple).toBe(limits.flowsPerTupleMax);
  // When all is over, all is closed.
  for (const machine of Array.from({ length: machines }, (_, at) => at))
    stage.learn({ kind: "gone", machineId: machineId(machine) });
  for (const name of stage.closed.splice(0)) sockets.open.delete(name);
  expect([...sockets.open.keys()]).toEqual([]);
  expect(stage.core.gauges).toMatchObject({ flows: 0, unconfirmed_flows: 0 });
});
