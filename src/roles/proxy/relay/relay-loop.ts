import { setImmediate } from "node:timers/promises";
import { Epoll, epollEvents } from "../../../system/epoll.ts";
import type { RelayRecord } from "../broker-record.ts";
import { Client } from "./client.ts";
import { ClientIntake } from "./client-intake.ts";
import type { Decision, DropCause, Flow, Instant, Output } from "../decision.ts";
import type { Door } from "./door.ts";
import { proxyLimits } from "../limits.ts";
import type { PublicSocket } from "./public-socket.ts";
import type { RelayCounters } from "../relay-counters.ts";
import type { RecordsPipe, RequestsPipe } from "./relay-pipes.ts";
import type { Source } from "../source.ts";
import { UpstreamSockets } from "./upstream-sockets.ts";

/** What the loop needs of `RelayCore`. */
export interface RelayDecisions {
  fromClient(datagram: Uint8Array, source: Source, now: Instant): Decision;
  fromMachine(flow: Flow, bytes: number, datagrams: number, now: Instant): DropCause | null;
  learn(record: RelayRecord, now: Instant): void;
  tick(now: Instant): void;
  takeOutput(): Output | null;
  flowClosed(flow: Flow): void;
}

export interface RelayLoopOptions {
  readonly core: RelayDecisions;
  readonly publicSockets: readonly PublicSocket[];
  readonly door: Door;
  readonly backendPort: number;
  readonly counters: RelayCounters;
  readonly records: Pick<RecordsPipe, "descriptor" | "read">;
  readonly requests: Pick<RequestsPipe, "send" | "flush">;
  readonly now: () => Instant;
  readonly mistaken: (error: unknown) => void;
  /** Every second. */
  readonly report: (now: Instant) => void;
}

/**
 * Moves datagrams: a turn waits for sockets, lets each of those that have something have its share, and
 * does what the core wants done. Bun's own events wait until it makes a pause for them.
 *
 * The order within a turn is the order of worth: what the broker says, clients with a flow, machines,
 * and those that must show first who they are, fewer of them while the others are busy.
 */
export class RelayLoop {
  readonly #options: RelayLoopOptions;
  readonly #epoll: Epoll;
  readonly #upstreams: UpstreamSockets;
  readonly #intake: ClientIntake;
  readonly #ready = new Set<number>();
  #brokerLives = true;
  #tickAtMs = 0;
  #reportAtMs = 0;

  constructor(options: RelayLoopOptions) {
    this.#options = options;
    const { backendPort, core, counters, door, mistaken, publicSockets, records } = options;
    this.#upstreams = new UpstreamSockets({
      backendPort,
      counters,
      fromMachine: (flow, bytes, datagrams, now) => core.fromMachine(flow, bytes, datagrams, now),
      flushClients: () => {
        for (const { way } of publicSockets) way.flush();
        door.way.flush();
      },
    });
    this.#intake = new ClientIntake({
      fromClient: (datagram, source, now) => core.fromClient(datagram, source, now),
      flowClosed: (flow) => core.flowClosed(flow),
      upstreams: this.#upstreams,
      counters,
      mistaken,
    });
    const fronts = publicSockets.flatMap(({ way, admissions }) => [way.descriptor, admissions]);
    const inner = [records.descriptor, door.way.descriptor, this.#upstreams.descriptor];
    this.#epoll = new Epoll(fronts.length + inner.length);
    for (const descriptor of [...fronts, ...inner])
      this.#epoll.add(descriptor, epollEvents.readable);
  }

  /** Until the broker is gone. */
  async run(): Promise<void> {
    const { now } = this.#options;
    while (this.#brokerLives) {
      const pauseAtMs = now().monotonicMs + proxyLimits.turnsMs;
      for (let leftMs: number = proxyLimits.turnsMs; leftMs > 0 && this.#brokerLives;) {
        this.turn(leftMs);
        leftMs = pauseAtMs - now().monotonicMs;
      }
      await setImmediate();
    }
  }

  turn(timeoutMs: number): void {
    this.#wait(timeoutMs);
    const now = this.#options.now();
    this.#options.counters.turns++;
    if (this.#ready.size > 0) this.#serve(now);
    this.#keepTime(now);
    const output = this.#options.core.takeOutput();
    if (output !== null) this.#carryOut(output);
  }

  close(): void {
    this.#upstreams.closeAll();
    this.#epoll.close();
  }

  get gauges(): Readonly<Record<string, number>> {
    return {
      sockets: this.#upstreams.size,
      upstream_queued_bytes: this.#upstreams.queuedBytes,
    };
  }

  #wait(timeoutMs: number): void {
    const count = this.#epoll.wait(timeoutMs);
    this.#ready.clear();
    for (let index = 0; index < count; index++) this.#ready.add(this.#epoll.descriptorAt(index));
  }

  #serve(now: Instant): void {
    const { core, door, publicSockets, records } = this.#options;
    const ready = this.#ready;
    if (ready.has(records.descriptor))
      this.#brokerLives = records.read((record) => core.learn(record, now));
    let taken = 0;
    for (const socket of publicSockets)
      if (ready.has(socket.way.descriptor))
        taken += this.#intake.readPublic(
          socket,
          socket.way.descriptor,
          proxyLimits.batchSlots,
          now,
        );
    if (ready.has(door.way.descriptor)) taken += this.#intake.readDoor(door, now);
    const machinesBusy = ready.has(this.#upstreams.descriptor);
    if (machinesBusy) this.#upstreams.read(now);
    const isBusy = taken > 0 || machinesBusy;
    const slots = isBusy ? proxyLimits.admissionSlotsWhenBusy : proxyLimits.batchSlots;
    for (const socket of publicSockets)
      if (ready.has(socket.admissions))
        this.#intake.readPublic(socket, socket.admissions, slots, now);
  }

  #keepTime(now: Instant): void {
    const { core, report, requests } = this.#options;
    if (now.monotonicMs >= this.#tickAtMs) {
      this.#tickAtMs = now.monotonicMs + proxyLimits.tickMs;
      core.tick(now);
      requests.flush();
    }
    if (now.monotonicMs >= this.#reportAtMs) {
      this.#reportAtMs = now.monotonicMs + proxyLimits.reportMs;
      report(now);
    }
  }

  #carryOut(output: Output): void {
    for (const flow of output.closed) this.#intake.disconnect(flow);
    for (const { flow, datagram } of output.released)
      if (flow.source instanceof Client) this.#intake.release(flow.source, flow, datagram);
    for (const { source, bytes } of output.hints)
      if (source instanceof Client) this.#intake.answer(source, bytes);
    if (output.requests.length > 0) this.#options.requests.send(output.requests);
  }
}
