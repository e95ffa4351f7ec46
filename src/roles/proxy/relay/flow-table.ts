import { ClientFlow } from "./client-flow.ts";
import type { DropCause } from "../decision.ts";
import { proxyLimits } from "../limits.ts";
import type { AddressedMachine, Machine } from "./machine.ts";
import type { Source } from "../source.ts";

/** How a newcomer showed that it belongs to the machine. */
export interface Introduction {
  readonly epoch: number;
  /** By a right tag, rather than by an id that others may have seen. */
  readonly admitted: boolean;
}

/**
 * All flows, and who must go when there are too many. That is, of those that the limit is about, an
 * unconfirmed one that had its time, else the confirmed one that was silent longest, if that is long.
 * A confirmed one in use never goes for a newcomer: that may be a forged address.
 */
export class FlowTable {
  /** The first of each tuple; others hang on it. */
  readonly #byTuple = new Map<Source["key"], ClientFlow>();
  readonly #byMachine = new Map<Machine, Set<ClientFlow>>();
  readonly #byNetwork = new Map<Source["network"], Set<ClientFlow>>();
  /** Oldest first. */
  readonly #unconfirmed = new Set<ClientFlow>();
  /** Of the last sweep, those that could make room; the longest silent last. */
  #silent: ClientFlow[] = [];
  #closed: ClientFlow[] = [];
  #size = 0;
  #sweptMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#size;
  }
  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  first(key: Source["key"]): ClientFlow | undefined {
    return this.#byTuple.get(key);
  }

  at(key: Source["key"], machine: Machine): ClientFlow | undefined {
    let flow = this.#byTuple.get(key);
    while (flow !== undefined && flow.machine !== machine) flow = flow.next;
    return flow;
  }

  /** Unconfirmed at first. Or which limit is in its way. */
  add(
    source: Source,
    machine: AddressedMachine,
    introduction: Introduction,
    nowMs: number,
  ): ClientFlow | DropCause {
    const { admissions, bindings } = machine.traffic;
    const bucket = introduction.admitted ? admissions : bindings;
    // Before the limits, which take longer to look at: also those who are refused come this often only.
    if (!bucket.take(nowMs)) return "new-flow-rate";
    const obstacle = this.#makeRoom(source, machine, introduction, nowMs);
    if (obstacle !== null) return obstacle;
    const flow = new ClientFlow(source, machine, introduction, nowMs);
    this.#insert(flow);
    return flow;
  }

  confirm(flow: ClientFlow): void {
    flow.confirmed = true;
    this.#unconfirmed.delete(flow);
  }

  /** Forgotten; its socket is among the next `takeClosed`. */
  close(flow: ClientFlow): void {
    if (!flow.open) return;
    this.#remove(flow);
    this.#closed.push(flow);
  }

  /** Its socket is closed. */
  forget(flow: ClientFlow): void {
    if (flow.open) this.#remove(flow);
  }

  /** What leads to an address that its machine has no more: the next datagram finds a flow to the new one. */
  move(machine: AddressedMachine, nowMs: number): void {
    for (const flow of this.of(machine)) {
      if (flow.address === machine.address) continue;
      this.close(flow);
      this.#insert(flow.moved(machine, nowMs));
    }
  }

  of(machine: Machine): readonly ClientFlow[] {
    return [...(this.#byMachine.get(machine) ?? [])];
  }

  all(): ClientFlow[] {
    return [...this.#byMachine.keys()].flatMap((machine) => this.of(machine));
  }

  takeClosed(): readonly ClientFlow[] {
    const closed = this.#closed;
    if (closed.length > 0) this.#closed = [];
    return closed;
  }

  /** Closes what was not confirmed in time, and what was silent for `idleMs`. */
  sweep(idleMs: number, nowMs: number): void {
    for (const flow of this.#unconfirmed) {
      if (nowMs - flow.sinceMs < proxyLimits.unconfirmedFlowMs) break;
      this.close(flow);
    }
    if (nowMs - this.#sweptMs < proxyLimits.sweepMs) return;
    this.#sweptMs = nowMs;
    this.#silent = [];
    const isNearlyFull = this.#size > proxyLimits.flowsMax / 2;
    for (const flows of this.#byMachine.values())
      for (const flow of flows)
        if (nowMs - flow.lastMs >= idleMs) this.close(flow);
        else if (isNearlyFull && isSilent(flow, nowMs)) this.#silent.push(flow);
    this.#silent.sort((one, other) => other.lastMs - one.lastMs);
  }

  #insert(flow: ClientFlow): void {
    const { key, network } = flow.source;
    flow.next = this.#byTuple.get(key);
    this.#byTuple.set(key, flow);
    memberOf(this.#byMachine, flow.machine).add(flow);
    memberOf(this.#byNetwork, network).add(flow);
    if (!flow.confirmed) this.#unconfirmed.add(flow);
    this.#size++;
    this.#share(flow);
  }

  #remove(flow: ClientFlow): void {
    flow.open = false;
    this.#unlink(flow);
    leave(this.#byMachine, flow.machine, flow);
    leave(this.#byNetwork, flow.source.network, flow);
    this.#unconfirmed.delete(flow);
    this.#size--;
    this.#share(flow);
  }

  #unlink(flow: ClientFlow): void {
    const { key } = flow.source;
    const first = this.#byTuple.get(key);
    if (first === flow) {
      if (flow.next === undefined) this.#byTuple.delete(key);
      else this.#byTuple.set(key, flow.next);
    } else {
      let before = first;
      while (before !== undefined && before.next !== flow) before = before.next;
      if (before !== undefined) before.next = flow.next;
    }
    flow.next = undefined;
  }

  #share({ machine, traffic }: ClientFlow): void {
    const sharers = this.#byMachine.get(machine)?.size ?? 0;
    traffic.toMachine.sharers = sharers;
    traffic.fromMachine.sharers = sharers;
  }

  #makeRoom(
    source: Source,
    machine: Machine,
    newcomer: Introduction,
    nowMs: number,
  ): DropCause | null {
    for (const { among, most, cause } of this.#limitsOf(source, machine)) {
      // Some of them may have made room for an earlier limit.
      const present = among.filter((flow) => flow.open);
      if (present.length >= most && !this.#evict(leastWorthy(present, newcomer, nowMs)))
        return cause;
    }
    const isFull = this.#size >= proxyLimits.flowsMax;
    if (!isFull && this.unconfirmed < proxyLimits.unconfirmedFlowsMax) return null;
    const [oldest] = this.#unconfirmed;
    if (oldest !== undefined && isEvictable(oldest, newcomer, nowMs)) {
      this.close(oldest);
      return null;
    }
    if (this.unconfirmed >= proxyLimits.unconfirmedFlowsMax) return "unconfirmed-flows";
    return this.#evict(this.#longestSilent(nowMs)) ? null : "flows";
  }

  #limitsOf(source: Source, machine: Machine): readonly Limit[] {
    const ofNetwork = [...(this.#byNetwork.get(source.network) ?? [])];
    const limits = proxyLimits;
    return [
      { among: this.#chain(source.key), most: limits.flowsPerTupleMax, cause: "flows-of-network" },
      { among: this.of(machine), most: limits.flowsPerMachineMax, cause: "flows-of-machine" },
      { among: ofNetwork, most: limits.flowsPerNetworkMax, cause: "flows-of-network" },
      {
        among: ofNetwork.filter((flow) => !flow.confirmed),
        most: limits.unconfirmedFlowsPerNetworkMax,
        cause: "unconfirmed-flows",
      },
    ];
  }

  #evict(flow: ClientFlow | undefined): boolean {
    if (flow === undefined) return false;
    this.close(flow);
    return true;
  }

  #longestSilent(nowMs: number): ClientFlow | undefined {
    for (;;) {
      const flow = this.#silent.pop();
      if (flow === undefined || (flow.open && isSilent(flow, nowMs))) return flow;
    }
  }

  #chain(key: Source["key"]): readonly ClientFlow[] {
    const chain: ClientFlow[] = [];
    for (let flow = this.first(key); flow !== undefined; flow = flow.next) chain.push(flow);
    return chain;
  }
}

interface Limit {
  readonly among: readonly ClientFlow[];
  readonly most: number;
  readonly cause: DropCause;
}

/** Undefined where all are to stay. */
function leastWorthy(
  among: Iterable<ClientFlow>,
  newcomer: Introduction,
  nowMs: number,
): ClientFlow | undefined {
  let least: ClientFlow | undefined;
  for (const flow of among) {
    if (!isEvictable(flow, newcomer, nowMs)) continue;
    const isLess =
      least === undefined ||
      (flow.confirmed === least.confirmed ? flow.lastMs < least.lastMs : least.confirmed);
    if (isLess) least = flow;
  }
  return least;
}

function isEvictable(flow: ClientFlow, newcomer: Introduction, nowMs: number): boolean {
  if (flow.confirmed) return isSilent(flow, nowMs);
  // Who saw an id on the path must not keep those out who have the key.
  if (newcomer.admitted && !flow.admitted) return true;
  return nowMs - flow.sinceMs >= proxyLimits.unconfirmedGraceMs;
}

function isSilent(flow: ClientFlow, nowMs: number): boolean {
  return nowMs - flow.lastMs >= proxyLimits.idleBeforeEvictionMs;
}

function memberOf<Key>(sets: Map<Key, Set<ClientFlow>>, key: Key): Set<ClientFlow> {
  const known = sets.get(key);
  if (known !== undefined) return known;
  const made = new Set<ClientFlow>();
  sets.set(key, made);
  return made;
}

function leave<Key>(sets: Map<Key, Set<ClientFlow>>, key: Key, flow: ClientFlow): void {
  const flows = sets.get(key);
  flows?.delete(flow);
  if (flows?.size === 0) sets.delete(key);
}
