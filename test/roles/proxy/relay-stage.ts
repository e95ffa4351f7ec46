import { expect } from "bun:test";
import { sealAdmission } from "../../../src/quic/admission-header.ts";
import { type AdmissionHint, openHint } from "../../../src/quic/admission-hint.ts";
import { type AdmissionKey, deriveAdmissionKey } from "../../../src/quic/admission-key.ts";
import { idKeys, routedId } from "../../../src/quic/routed-id.ts";
import type { MachineState, RelayRecord } from "../../../src/roles/proxy/broker-record.ts";
import type { BrokerRequest, Decision, Flow, Output } from "../../../src/roles/proxy/decision.ts";
import { openMaster, type ProxyMaster } from "../../../src/quic/proxy-master.ts";
import { RelayCore } from "../../../src/roles/proxy/relay/relay-core.ts";
import type { RelayCoreOptions } from "../../../src/roles/proxy/relay/relay-parts.ts";
import type { Source } from "../../../src/roles/proxy/source.ts";
import { mutate } from "../../support/mutation.ts";
import { between, type Random, randomBytes, seed, seededRandom } from "../../support/seed.ts";

/** A relay's core with a clock, machines and clients that are only numbers. */

export const master: ProxyMaster = { epoch: 1, master: new Uint8Array(32).fill(5) };
export const nextMaster: ProxyMaster = { epoch: 2, master: new Uint8Array(32).fill(6) };

export function machineId(number: number): string {
  return (0x148e21ea7e0000 + number).toString(16);
}

/** An IPv4 client; port and address are all that is known of one. */
export function client(port: number, address = 0x0a000001): Source {
  return { key: address * 65_536 + port, network: address };
}

export function keyOf(
  machine: number,
  { epoch, master: secret }: ProxyMaster = master,
): AdmissionKey {
  return deriveAdmissionKey(secret, epoch, machineId(machine));
}

/** A key that no relay here knows of. */
export function strangersKey(machine: number): AdmissionKey {
  return keyOf(machine, { epoch: 1, master: new Uint8Array(32).fill(99) });
}

export function anybody({ random }: RelayStage): Source {
  return client(between(random, 1, 65_535), between(random, 0, 2 ** 32 - 1));
}

/** Almost right, and of no key of this relay's. */
export function forged(stage: RelayStage, machine: number): Uint8Array {
  const key = strangersKey(machine);
  const made = [
    () => stage.admission(machine, { key }),
    () => stage.bare(machine, key),
    () => mutate(stage.random, [stage.admission(machine, { key })]),
    () => randomBytes(stage.random, between(stage.random, 0, 1300)),
  ][between(stage.random, 0, 3)];
  return made?.() ?? new Uint8Array(0);
}

export function nameOf({ machineId: id, source }: Pick<Flow, "machineId" | "source">): string {
  return `${source.key} at ${id}`;
}

export interface AdmissionShape {
  readonly key?: AdmissionKey;
  /** Seconds that the client's clock is ahead. */
  readonly aheadS?: number;
  /** Of QUIC. */
  readonly bytes?: number;
  readonly first?: number;
}

export class RelayStage {
  readonly core: RelayCore;
  readonly now: { monotonicMs: number; wallMs: number };
  readonly random: Random = seededRandom(seed);
  /** All that came out so far. */
  readonly requests: BrokerRequest[] = [];
  readonly released: Output["released"][number][] = [];
  readonly hints: Output["hints"][number][] = [];
  /** By `nameOf`: flows lead to all others, which no message of a test should show. */
  readonly closed: string[] = [];

  /** `machines` of them have started. */
  constructor(
    options: Partial<RelayCoreOptions> & { machines?: number; synced?: boolean } = {},
    now: { monotonicMs: number; wallMs: number } = { monotonicMs: 5000, wallMs: 1_800_000_000_000 },
  ) {
    const { machines = 1, synced = true, ...core } = options;
    this.now = now;
    this.core = new RelayCore({
      masters: [master],
      open: false,
      sessionTimeoutMs: 180_000,
      randomBytes: (length) => randomBytes(this.random, length),
      ...core,
    });
    for (let machine = 0; machine < machines; machine++) this.machine(machine);
    if (synced) this.learn({ kind: "synced" });
  }

  machine(machine: number, state: MachineState = "started", address?: string): void {
    const at = address ?? `fdaa::${(machine + 1).toString(16)}`;
    this.learn({ kind: "machine", machineId: machineId(machine), state, address: at });
  }

  learn(record: RelayRecord): void {
    this.core.learn(record, this.now);
    this.collect();
  }

  send(datagram: Uint8Array, source: Source = client(1)): Decision {
    const decision = this.core.fromClient(datagram, source, this.now);
    this.collect();
    return decision;
  }

  /** "forward", "held", the cause of a drop, or what a hint says. */
  outcome(datagram: Uint8Array, source: Source = client(1), machine = 0): string {
    const decision = this.send(datagram, source);
    if (decision.kind === "drop") return decision.cause;
    if (decision.kind !== "hint") return decision.kind;
    return `hint: ${this.readHint(decision.bytes, machine).state}`;
  }

  flow(datagram: Uint8Array, source: Source = client(1)): Flow {
    const decision = this.send(datagram, source);
    if (decision.kind === "forward") return decision;
    throw new Error(`no flow: ${JSON.stringify(decision)}`);
  }

  answer(flow: Flow, bytes = 1200, datagrams = 1): string | null {
    return this.core.fromMachine(flow, bytes, datagrams, this.now);
  }

  /** A client that has shown that it hears its machine. */
  confirmed(machine: number, source: Source): Flow {
    const flow = this.flow(this.admission(machine), source);
    expect(this.answer(flow)).toBeNull();
    expect(this.flow(this.bare(machine), source)).toBe(flow);
    return flow;
  }

  admission(machine = 0, shape: AdmissionShape = {}): Uint8Array {
    const { key = keyOf(machine), aheadS = 0, bytes = 1200, first = 0xc3 } = shape;
    const datagram = new Uint8Array(bytes);
    datagram.set([first, 0, 0, 0, 1, 16]);
    const timeS = Math.floor(this.now.wallMs / 1000) + aheadS;
    return sealAdmission(key, datagram, timeS, randomBytes(this.random, 3));
  }

  /** With a short header, to an id that the machine's key made. */
  bare(machine = 0, key: AdmissionKey = keyOf(machine), bytes = 60): Uint8Array {
    const datagram = new Uint8Array(bytes);
    datagram[0] = 0x41;
    datagram.set(routedId(key, idKeys(key), randomBytes(this.random, 7)), 1);
    return datagram;
  }

  /** With a long header instead. */
  bareLong(machine = 0): Uint8Array {
    const datagram = new Uint8Array(1200);
    datagram.set([0xe3, 0, 0, 0, 1, 20]);
    datagram.set(this.bare(machine).subarray(1, 21), 6);
    return datagram;
  }

  /** Time passes on both clocks, looked at every 250 ms. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      const step = Math.min(250, left);
      this.now.monotonicMs += step;
      this.now.wallMs += step;
      this.core.tick(this.now);
      this.collect();
    }
  }

  readHint(bytes: Uint8Array, machine = 0): AdmissionHint {
    for (const secret of [master, nextMaster, openMaster]) {
      const hint = openHint(keyOf(machine, secret), bytes);
      if (hint !== null) return hint;
    }
    throw new Error("no hint of that machine");
  }

  collect(): void {
    const output = this.core.takeOutput();
    if (output === null) return;
    this.requests.push(...output.requests);
    this.released.push(...output.released);
    this.hints.push(...output.hints);
    this.closed.push(...output.closed.map(nameOf));
  }
}
