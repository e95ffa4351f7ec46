import { connectionIdBytes } from "../../../quic/connection-id.ts";
import type { Flow } from "../decision.ts";
import { proxyLimits } from "../limits.ts";
import type { AddressedMachine, Machine, Traffic } from "./machine.ts";
import type { RateShare } from "./machine-rate.ts";
import type { Source } from "../source.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/** A client's address and port, at one machine. */
export class ClientFlow implements Flow {
  readonly kind = "forward";
  readonly source: Source;
  readonly machine: Machine;
  readonly machineId: string;
  readonly address: string;
  readonly traffic: Traffic;
  readonly sinceMs: number;
  /** Which master its admission or id was made with. */
  epoch: number;
  /** It had a right tag, rather than an id that others may have seen. */
  admitted: boolean;
  descriptor = -1;

  /** Another machine's, from the same address and port. */
  next: ClientFlow | undefined;
  /** False once its socket is to be closed. */
  open = true;
  confirmed = false;
  /** When the client was last heard. */
  lastMs: number;
  readonly toMachine: RateShare = { sinceMs: Number.NEGATIVE_INFINITY, used: 0 };
  readonly fromMachine: RateShare = { sinceMs: Number.NEGATIVE_INFINITY, used: 0 };

  #hasId = false;
  readonly #id = new Uint8Array(connectionIdBytes);
  #heardMachine = false;
  #allowedBytes = 0;
  /** When the admission came that the machine has not answered yet. */
  #askedMs: number | undefined;
  /** Made when first needed: most flows keep their id. */
  #checks: TokenBucket | undefined;

  constructor(
    source: Source,
    machine: AddressedMachine,
    { epoch, admitted }: { readonly epoch: number; readonly admitted: boolean },
    nowMs: number,
  ) {
    this.source = source;
    this.machine = machine;
    this.machineId = machine.id;
    this.address = machine.address;
    this.traffic = machine.traffic;
    this.epoch = epoch;
    this.admitted = admitted;
    this.sinceMs = nowMs;
    this.lastMs = nowMs;
  }

  /** Whether the id at this offset is the one that was checked last. */
  bears(datagram: Uint8Array, at: number): boolean {
    if (!this.#hasId) return false;
    const id = this.#id;
    // From the end: the nonce and the tag differ where ids do.
    for (let index = connectionIdBytes - 1; index >= 0; index--)
      if (id[index] !== datagram[at + index]) return false;
    return true;
  }

  /** Whether one more tag or id from here is looked at before those of strangers. */
  mayBeChecked(nowMs: number): boolean {
    const limits = proxyLimits;
    this.#checks ??= new TokenBucket({
      perSecond: limits.checksPerFlowPerSecond,
      burst: limits.checksPerFlowBurst,
    });
    return this.#checks.take(nowMs);
  }

  setId(id: Uint8Array): void {
    this.#id.set(id);
    this.#hasId = true;
  }

  /** True when this one, with an id of the machine, shows that the client hears us. */
  noteClient(bytes: number, withId: boolean, nowMs: number): boolean {
    this.lastMs = nowMs;
    if (this.confirmed) return false;
    this.#allowedBytes += bytes * proxyLimits.unconfirmedBytesFactor;
    return withId && this.#heardMachine;
  }

  /** True when the machine has not answered for a while. */
  noteAdmission(nowMs: number): boolean {
    this.#askedMs ??= nowMs;
    return nowMs - this.#askedMs >= proxyLimits.unansweredMs;
  }

  /** False for more than may go to an address that anybody may have forged. */
  allowsToClient(bytes: number): boolean {
    return this.confirmed || bytes <= this.#allowedBytes;
  }

  noteMachine(bytes: number): void {
    this.#heardMachine = true;
    this.#askedMs = undefined;
    if (!this.confirmed) this.#allowedBytes -= bytes;
  }

  /** The same client at the same machine, which has another address now. */
  moved(machine: AddressedMachine, nowMs: number): ClientFlow {
    const flow = new ClientFlow(this.source, machine, this, nowMs);
    flow.confirmed = this.confirmed;
    flow.lastMs = this.lastMs;
    flow.#allowedBytes = this.#allowedBytes;
    flow.#heardMachine = this.#heardMachine;
    if (this.#hasId) flow.setId(this.#id);
    return flow;
  }
}
