import type { MachineState } from "../../../src/roles/proxy/broker-record.ts";

/** What a relay would be without limits, keys or bytes, in the plainest words. */
export interface ModelFlow {
  readonly machine: number;
  readonly port: number;
  readonly sinceMs: number;
  lastMs: number;
  heard: boolean;
  /** When the admission came that has no answer yet. */
  askedMs: number | undefined;
  confirmed: boolean;
}

interface ModelMachine {
  state: MachineState;
  failedUntilMs: number;
}

export type Outcome = "forward" | "held" | "drop";

export class RelayModel {
  readonly machines = new Map<number, ModelMachine>();
  readonly goneMs = new Map<number, number>();
  flows: ModelFlow[] = [];
  /** Machines by the time at which their datagrams began to wait. */
  held: { readonly machine: number; readonly port: number; readonly sinceMs: number }[] = [];
  readonly #idleMs: number;
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /** With a right and new tag. */
  admit(machine: number, port: number, nowMs: number): Outcome {
    const found = this.machines.get(machine);
    if (found?.state === "started") {
      const known = this.find(machine, port);
      const outcome = this.#forward(machine, port, false, nowMs);
      const flow = this.find(machine, port);
      if (flow !== undefined) flow.askedMs ??= nowMs;
      if (known?.askedMs !== undefined && nowMs - known.askedMs >= 500)
        this.#hold(machine, port, nowMs);
      return outcome;
    }
    const isGone = nowMs - (this.goneMs.get(machine) ?? -Infinity) < 60_000;
    if (found === undefined && isGone) return "drop";
    if (found !== undefined && (found.state === "failed" || nowMs < found.failedUntilMs))
      return "drop";
    return this.#hold(machine, port, nowMs);
  }

  /** With a right id. */
  bare(machine: number, port: number, nowMs: number): Outcome {
    return this.machines.has(machine) ? this.#forward(machine, port, true, nowMs) : "drop";
  }

  find(machine: number, port: number): ModelFlow | undefined {
    return this.flows.find((flow) => flow.machine === machine && flow.port === port);
  }

  lose(machine: number, port: number): void {
    this.flows = this.flows.filter((flow) => flow.machine !== machine || flow.port !== port);
  }

  set(machine: number, state: MachineState, nowMs: number): void {
    const failedUntilMs = this.machines.get(machine)?.failedUntilMs ?? 0;
    this.machines.set(machine, { state, failedUntilMs: state === "started" ? 0 : failedUntilMs });
    this.goneMs.delete(machine);
    if (state !== "started") return;
    // What waited is no sign of its client now: a flow that is there is as old as it was.
    for (const { port } of this.#takeHeld(machine))
      if (this.find(machine, port) === undefined) this.#forward(machine, port, false, nowMs);
  }

  remove(machine: number, nowMs: number): void {
    this.machines.delete(machine);
    this.goneMs.set(machine, this.goneMs.get(machine) ?? nowMs);
    if (nowMs - (this.goneMs.get(machine) ?? 0) >= 60_000) this.goneMs.set(machine, nowMs);
    this.flows = this.flows.filter((flow) => flow.machine !== machine);
    this.#takeHeld(machine);
  }

  fail(machine: number, retryS: number, nowMs: number): void {
    const found = this.machines.get(machine);
    if (found !== undefined) found.failedUntilMs = nowMs + retryS * 1000;
    this.#takeHeld(machine);
  }

  tick(nowMs: number): void {
    this.held = this.held.filter(({ sinceMs }) => nowMs - sinceMs < 20_000);
    this.flows = this.flows.filter((flow) => flow.confirmed || nowMs - flow.sinceMs < 10_000);
    if (nowMs - this.#sweptMs < 1000) return;
    this.#sweptMs = nowMs;
    this.flows = this.flows.filter((flow) => nowMs - flow.lastMs < this.#idleMs);
  }

  #forward(machine: number, port: number, withId: boolean, nowMs: number): Outcome {
    let flow = this.find(machine, port);
    if (flow === undefined) {
      flow = {
        machine,
        port,
        sinceMs: nowMs,
        lastMs: nowMs,
        heard: false,
        askedMs: undefined,
        confirmed: false,
      };
      this.flows.push(flow);
    }
    flow.lastMs = nowMs;
    flow.confirmed ||= withId && flow.heard;
    return "forward";
  }

  #hold(machine: number, port: number, sinceMs: number): Outcome {
    if (this.held.filter((each) => each.machine === machine).length >= 4) return "drop";
    this.held.push({ machine, port, sinceMs });
    return "held";
  }

  #takeHeld(machine: number): typeof this.held {
    const taken = this.held.filter((each) => each.machine === machine);
    this.held = this.held.filter((each) => each.machine !== machine);
    return taken;
  }
}
