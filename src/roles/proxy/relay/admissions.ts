import { admissionBytes, openAdmission, tagAt } from "../../../quic/admission-header.ts";
import type { HintState } from "../../../quic/admission-hint.ts";
import { quicLimits } from "../../../quic/limits.ts";
import type { ClientFlow } from "./client-flow.ts";
import type { HeldDatagram } from "./held-datagrams.ts";
import type { Decision, DropCause, Held, HintAnswer, Instant } from "../decision.ts";
import { type Machine, type ReachableMachine, isReachable } from "./machine.ts";
import type { RelayParts } from "./relay-parts.ts";
import type { Source } from "../source.ts";

/** A datagram whose tag was right. */
interface Applicant {
  readonly source: Source;
  readonly epoch: number;
  readonly machineId: string;
  readonly tag: Uint8Array;
  /** Header and all. */
  readonly datagram: Uint8Array;
  readonly now: Instant;
}

/**
 * First datagrams of connections, with the header of docs/transport.md, section 5. Without a right
 * tag nothing is remembered or answered, and nobody can tell whether there is such a machine.
 */
export class Admissions {
  readonly #parts: RelayParts;

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  decide(datagram: Uint8Array, source: Source, now: Instant): Decision {
    const { checks, flows, keys, tally, window } = this.#parts;
    const quicBytes = datagram.byteLength - admissionBytes;
    if (quicBytes < quicLimits.initialDatagramBytesMin) return tally.drop("no-quic");
    if (quicBytes > quicLimits.datagramBytesOptionMax) return tally.drop("no-quic");
    const epoch = datagram[1] ?? 0;
    if (!keys.isLive(epoch)) return tally.drop("unknown-epoch");
    const flow = flows.first(source.key);
    const unseen = checks.take("tags", source, flow, now.monotonicMs);
    if (unseen !== null) return tally.drop(unseen);
    let key: Uint8Array | undefined;
    const admission = openAdmission(datagram, (_, id) => (key = keys.admissionKey(epoch, id)));
    if (admission === null || key === undefined) {
      checks.noteVain(source, now.monotonicMs);
      return tally.drop("bad-tag");
    }
    const { machineId, tag } = admission;
    keys.keep(epoch, machineId, key);
    // Init would drop it, too, but a flow would be open.
    if (((admission.datagram[0] ?? 0) & 0xc0) !== 0xc0) return tally.drop("no-quic");
    const applicant: Applicant = { source, epoch, machineId, tag, datagram, now };
    const old = window.check(admission, now.wallMs);
    if (old === "clock") return this.#refuse(applicant, "clock", "clock");
    if (old === "replayed") {
      checks.noteVain(source, now.monotonicMs);
      return tally.drop("replayed");
    }
    return this.#admit(applicant);
  }

  /** The machine may have started: what waits for it goes there. */
  release(machine: Machine, now: Instant): void {
    const { flows, held, tally } = this.#parts;
    if (!isReachable(machine)) return;
    for (const { source, epoch, datagram } of held.take(machine.id)) {
      const known = flows.at(source.key, machine);
      const introduction = { epoch, admitted: true };
      const flow = known ?? flows.add(source, machine, introduction, now.monotonicMs);
      if (typeof flow === "string") {
        tally.drop(flow);
        continue;
      }
      this.#parts.release(flow, datagram);
    }
  }

  /** What waited for it waits in vain. One of those is told. */
  giveUp(machineId: string, state: HintState, now: Instant): void {
    const { held, tally } = this.#parts;
    const waiting = held.take(machineId);
    tally.dropMany("not-started", waiting.length);
    const last = waiting.at(-1);
    if (last !== undefined) this.#tell(last, machineId, state, now);
  }

  /** A look showed that the machine does not run, and somebody waits for it. */
  startForHeld(machine: Machine, now: Instant): void {
    const [first] = this.#parts.held.of(machine.id);
    if (first === undefined || !isStartable(machine)) return;
    if (this.#start(first, machine.id, now.monotonicMs))
      this.#tell(first, machine.id, wakingHint(machine), now);
  }

  /** The list has come. What waits for machines that are not on it may wait for new ones. */
  lookUpHeld(now: Instant): void {
    const { desk, directory, held } = this.#parts;
    for (const machineId of held.machineIds())
      if (directory.find(machineId) === undefined) desk.lookup(machineId, now.monotonicMs);
  }

  #admit(applicant: Applicant): Decision {
    const { directory, flows, draining } = this.#parts;
    const machine = directory.find(applicant.machineId);
    const reachable = machine !== undefined && isReachable(machine) ? machine : undefined;
    const known = reachable && flows.at(applicant.source.key, reachable);
    if (known !== undefined) return this.#again(known, applicant);
    if (draining) return this.#refuse(applicant, "draining", "draining");
    if (!this.#mayCome(applicant)) return this.#refuse(applicant, "new-flow-rate", "busy");
    if (machine === undefined) return this.#lookUp(applicant);
    return reachable === undefined
      ? this.#wake(applicant, machine)
      : this.#open(applicant, reachable);
  }

  /** Of a known client. One that asks in vain may be asking a machine that was stopped since. */
  #again(flow: ClientFlow, applicant: Applicant): Decision {
    const { desk } = this.#parts;
    const { epoch, datagram, machineId, now } = applicant;
    flow.epoch = epoch;
    flow.admitted = true;
    // A copy waits, so that the machine is started as soon as that is known. If it runs after all, it
    // drops the copy as a replay.
    if (flow.noteAdmission(now.monotonicMs) && desk.lookup(machineId, now.monotonicMs))
      this.#keep(applicant);
    return this.#parts.pass(flow, datagram.byteLength, false, now.monotonicMs);
  }

  #open(applicant: Applicant, machine: ReachableMachine): Decision {
    const { flows } = this.#parts;
    const { source, epoch, datagram, now } = applicant;
    const flow = flows.add(source, machine, { epoch, admitted: true }, now.monotonicMs);
    if (typeof flow === "string") return this.#refuse(applicant, flow, "busy");
    flow.noteAdmission(now.monotonicMs);
    return this.#parts.pass(flow, datagram.byteLength, false, now.monotonicMs);
  }

  #lookUp(applicant: Applicant): Decision {
    const { directory, desk, synced } = this.#parts;
    const { machineId, now } = applicant;
    // The list is on its way; everybody's machine would be looked up now.
    if (!synced) return this.#hold(applicant);
    if (directory.isGone(machineId, now.monotonicMs))
      return this.#refuse(applicant, "unknown-machine", "unknown-machine");
    if (!desk.lookup(machineId, now.monotonicMs))
      return this.#refuse(applicant, "unknown-machine", "busy");
    return this.#hold(applicant);
  }

  /** It is there, but no datagram would arrive. */
  #wake(applicant: Applicant, machine: Machine): Decision {
    const { desk } = this.#parts;
    const nowMs = applicant.now.monotonicMs;
    const failed = machine.failed;
    if (failed !== null && nowMs < failed.untilMs)
      return this.#refuse(applicant, "not-started", failed.outcome);
    if (!isStartable(machine)) {
      desk.lookup(machine.id, nowMs);
      if (machine.state === "failed") return this.#refuse(applicant, "not-started", "failed");
    } else if (!this.#start(applicant, machine.id, nowMs))
      return this.#refuse(applicant, "not-started", "busy");
    this.#parts.hints.post(applicant.source, this.#hint(applicant, wakingHint(machine)));
    return this.#hold(applicant);
  }

  #hold(applicant: Applicant): Decision {
    return this.#keep(applicant) ? isHeld : this.#parts.tally.drop("held-enough");
  }

  #keep({ source, epoch, machineId, datagram, now }: Applicant): boolean {
    const waiting = { source, epoch, datagram, sinceMs: now.monotonicMs };
    return this.#parts.held.hold(machineId, waiting);
  }

  /** Asks for a start, unless somebody did a moment ago. False: it cannot be asked for now. */
  #start(
    { source, epoch }: Pick<Applicant, "source" | "epoch">,
    machineId: string,
    nowMs: number,
  ): boolean {
    const { desk, keys, openNetworks } = this.#parts;
    if (desk.isStarting(machineId, nowMs)) return true;
    if (keys.isOpen(epoch) && !openNetworks.mayStart(source.network, nowMs)) return false;
    return desk.start(machineId, nowMs);
  }

  #mayCome({ source, epoch, now }: Applicant): boolean {
    const { keys, openNetworks } = this.#parts;
    return !keys.isOpen(epoch) || openNetworks.mayOpenFlow(source.network, now.monotonicMs);
  }

  /** Tells why, if it is time for a hint again. */
  #refuse(applicant: Applicant, cause: DropCause, state: HintState): Decision {
    const { checks, tally } = this.#parts;
    checks.noteVain(applicant.source, applicant.now.monotonicMs);
    const drop = tally.drop(cause);
    return this.#hint(applicant, state) ?? drop;
  }

  /** Somebody whose datagram waits. */
  #tell(
    { source, epoch, datagram }: HeldDatagram,
    machineId: string,
    state: HintState,
    now: Instant,
  ): void {
    const { hints, window } = this.#parts;
    const receiver = { epoch, machineId, tag: tagOf(datagram) };
    const wallMs = window.clock(now.wallMs);
    hints.post(source, hints.answer(state, receiver, now.monotonicMs, wallMs));
  }

  #hint(applicant: Applicant, state: HintState): HintAnswer | null {
    const { hints, window } = this.#parts;
    const { now } = applicant;
    return hints.answer(state, applicant, now.monotonicMs, window.clock(now.wallMs));
  }
}

function wakingHint({ state }: Machine): HintState {
  return state === "suspended" || state === "suspending" ? "resuming" : "starting";
}

function isStartable({ state }: Machine): boolean {
  return state === "stopped" || state === "suspended" || state === "created";
}

function tagOf(sealed: Uint8Array): Uint8Array {
  return sealed.subarray(tagAt, admissionBytes);
}

const isHeld: Held = Object.freeze({ kind: "held" });
