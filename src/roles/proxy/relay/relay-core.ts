import { admissionMagic } from "../../../quic/admission-header.ts";
import type { HintState } from "../../../quic/admission-hint.ts";
import { connectionIdBytes } from "../../../quic/connection-id.ts";
import { openRoutedId } from "../../../quic/routed-id.ts";
import { Admissions } from "./admissions.ts";
import type { RelayRecord } from "../broker-record.ts";
import { ClientFlow } from "./client-flow.ts";
import type { Decision, DropCause, Flow, Instant, Output } from "../decision.ts";
import { proxyLimits } from "../limits.ts";
import { hasAddress } from "./machine.ts";
import { type RelayCoreOptions, RelayParts } from "./relay-parts.ts";
import type { Source } from "../source.ts";

/**
 * Everything that a relay decides: a datagram and the time in, what becomes of it out. It has no
 * sockets and no clock. What a client sent goes to machines of the directory alone, never where the
 * datagram says.
 */
export class RelayCore {
  readonly #parts: RelayParts;
  readonly #admissions: Admissions;
  readonly #sessionTimeoutMs: number;
  readonly #idKeys: Parameters<typeof openRoutedId>[1];

  /** Throws `RangeError` for masters that cannot be (`KeyRing`). */
  constructor(options: RelayCoreOptions) {
    const parts = new RelayParts(options);
    this.#parts = parts;
    this.#admissions = new Admissions(parts);
    this.#sessionTimeoutMs = options.sessionTimeoutMs;
    this.#idKeys = {
      padOf: (epoch) => parts.keys.padOf(epoch),
      tagKeyOf: (epoch, machineId) =>
        parts.directory.find(machineId) && parts.keys.idTagKey(epoch, machineId),
    };
  }

  /** The datagram may be overwritten afterwards. */
  fromClient(datagram: Uint8Array, source: Source, now: Instant): Decision {
    const first = datagram[0] ?? 0;
    if ((first & quicBit) === 0) {
      if (first === admissionMagic) return this.#admissions.decide(datagram, source, now);
      return this.#parts.tally.drop("no-quic");
    }
    const isLong = (first & 0x80) !== 0;
    const idAt = isLong ? 6 : 1;
    if (datagram.byteLength <= idAt + connectionIdBytes) return this.#parts.tally.drop("no-quic");
    // To an id of the client's own making: a first flight without the header.
    if (isLong && datagram[5] !== connectionIdBytes) return this.#parts.tally.drop("untagged");
    let flow = this.#parts.flows.first(source.key);
    while (flow !== undefined) {
      if (flow.bears(datagram, idAt))
        return this.#parts.pass(flow, datagram.byteLength, true, now.monotonicMs);
      flow = flow.next;
    }
    return this.#bind(datagram, idAt, source, now);
  }

  /** Null: these may go to the client, all of them. The flow's bytes are counted as if they went. */
  fromMachine(flow: Flow, bytes: number, datagrams: number, now: Instant): DropCause | null {
    if (!(flow instanceof ClientFlow) || !flow.open) return this.#dropped("flows", datagrams);
    if (!flow.allowsToClient(bytes)) return this.#dropped("amplification", datagrams);
    const { fromMachine } = flow.traffic;
    if (!fromMachine.take(flow.fromMachine, bytes, datagrams, now.monotonicMs))
      return this.#dropped("machine-rate", datagrams);
    flow.noteMachine(bytes);
    return null;
  }

  learn(record: RelayRecord, now: Instant): void {
    const { directory, flows } = this.#parts;
    switch (record.kind) {
      case "machine":
        this.#learnMachine(record, now);
        break;
      case "gone": {
        const machine = directory.find(record.machineId);
        if (machine !== undefined) for (const flow of flows.of(machine)) flows.close(flow);
        directory.remove(record.machineId, now.monotonicMs);
        this.#admissions.giveUp(record.machineId, "unknown-machine", now);
        break;
      }
      case "start":
        this.#learnStart(record, now);
        break;
      case "synced":
        this.#parts.synced = true;
        this.#admissions.lookUpHeld(now);
        break;
      case "drain":
        this.#drain();
        break;
    }
  }

  /** At least every 250 ms. */
  tick(now: Instant): void {
    const { flows, held, tally, hints, window, farewells } = this.#parts;
    flows.sweep(this.#sessionTimeoutMs, now.monotonicMs);
    tally.dropMany("not-started", held.expire(now.monotonicMs));
    for (const flow of farewells.splice(0, proxyLimits.drainHintsPerTick))
      if (flow.open) hints.post(flow.source, hints.farewell(flow, window.clock(now.wallMs)));
  }

  /** Null for nothing. What it gives is the caller's. */
  takeOutput(): Output | null {
    const requests = this.#parts.desk.takeRequests();
    const released = this.#parts.takeReleased();
    const hints = this.#parts.hints.takeWaiting();
    const closed = this.#parts.flows.takeClosed();
    const isEmpty = requests.length + released.length + hints.length + closed.length === 0;
    return isEmpty ? null : { requests, released, hints, closed };
  }

  /** The loop could not open its socket, or lost it: the client's next datagram makes a new one. */
  flowClosed(flow: Flow): void {
    if (flow instanceof ClientFlow) this.#parts.flows.forget(flow);
  }

  get drops(): Readonly<Record<DropCause, number>> {
    return this.#parts.tally.drops;
  }

  get hints(): Readonly<Record<HintState, number>> {
    return this.#parts.tally.hints;
  }

  get gauges(): RelayGauges {
    const { checks, directory, draining, flows, held, keys, openNetworks, synced, window } =
      this.#parts;
    return {
      flows: flows.size,
      unconfirmed_flows: flows.unconfirmed,
      machines: directory.size,
      machines_cut: directory.cut,
      held_bytes: held.bytes,
      replay_tags: window.size,
      penalties: checks.penalties.size,
      keys: keys.kept,
      open_networks: openNetworks.size,
      synced: Number(synced),
      draining: Number(draining),
    };
  }

  /** A datagram of nobody known, which must say itself where it belongs. */
  #bind(datagram: Uint8Array, idAt: number, source: Source, now: Instant): Decision {
    const { checks, directory, flows, keys, openNetworks, tally } = this.#parts;
    const nowMs = now.monotonicMs;
    if (!keys.isLive((datagram[idAt] ?? 0) >> 5)) return tally.drop("unknown-epoch");
    const unseen = checks.take("ids", source, flows.first(source.key), nowMs);
    if (unseen !== null) return tally.drop(unseen);
    const id = datagram.subarray(idAt, idAt + connectionIdBytes);
    const opened = openRoutedId(id, this.#idKeys);
    const machine = opened === null ? undefined : directory.find(opened.machineId);
    if (opened === null || machine === undefined) {
      if (!this.#parts.synced) return tally.drop("unknown-machine");
      checks.noteVain(source, nowMs);
      return tally.drop("bad-id");
    }
    let flow = flows.at(source.key, machine);
    if (flow === undefined) {
      if (!hasAddress(machine)) return tally.drop("not-started");
      if (keys.isOpen(opened.epoch) && !openNetworks.mayOpenFlow(source.network, nowMs))
        return tally.drop("new-flow-rate");
      const added = flows.add(source, machine, { epoch: opened.epoch, admitted: false }, nowMs);
      if (typeof added === "string") {
        checks.noteVain(source, nowMs);
        return tally.drop(added);
      }
      flow = added;
    }
    flow.setId(id);
    flow.epoch = opened.epoch;
    return this.#parts.pass(flow, datagram.byteLength, true, nowMs);
  }

  #learnMachine(record: Extract<RelayRecord, { kind: "machine" }>, now: Instant): void {
    const { directory, flows } = this.#parts;
    const machine = directory.set(record);
    if (machine === undefined) return;
    if (hasAddress(machine)) flows.move(machine, now.monotonicMs);
    if (machine.state === "started") machine.failed = null;
    this.#admissions.release(machine, now);
    this.#admissions.startForHeld(machine, now);
  }

  #learnStart(record: Extract<RelayRecord, { kind: "start" }>, now: Instant): void {
    const { machineId, outcome, retryS } = record;
    const machine = this.#parts.directory.find(machineId);
    if (machine !== undefined)
      machine.failed =
        outcome === "starting" ? null : { outcome, untilMs: now.monotonicMs + retryS * 1000 };
    if (outcome === "starting") return;
    this.#admissions.giveUp(machineId, outcome, now);
  }

  #drain(): void {
    const { flows } = this.#parts;
    if (this.#parts.draining) return;
    this.#parts.draining = true;
    // Others may be forged; they are told when they are confirmed.
    this.#parts.farewells = flows.all().filter((flow) => flow.confirmed);
  }

  #dropped(cause: DropCause, datagrams: number): DropCause {
    this.#parts.tally.dropMany(cause, datagrams);
    return cause;
  }
}

/** Names of metrics. */
export interface RelayGauges {
  readonly flows: number;
  readonly unconfirmed_flows: number;
  readonly machines: number;
  /** Records of machines that there was no room for. */
  readonly machines_cut: number;
  readonly held_bytes: number;
  readonly replay_tags: number;
  readonly penalties: number;
  readonly keys: number;
  readonly open_networks: number;
  readonly synced: number;
  readonly draining: number;
}

/** Set in every datagram of QUIC version 1, and in those of our own that look like them. */
const quicBit = 0x40;
