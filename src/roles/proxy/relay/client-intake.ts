import { ptr } from "bun:ffi";
import { ReceiveBatch } from "../../../system/receive-batch.ts";
import type { Client, Upstream } from "./client.ts";
import type { Decision, Flow, Instant } from "../decision.ts";
import type { Door } from "./door.ts";
import { doorFrameBytes } from "../door-frame.ts";
import { proxyLimits } from "../limits.ts";
import { quicBit } from "./public-filter.ts";
import type { PublicSocket } from "./public-socket.ts";
import type { RelayCounters } from "../relay-counters.ts";
import type { Source } from "../source.ts";
import type { UpstreamSockets } from "./upstream-sockets.ts";

export interface IntakeOptions {
  readonly fromClient: (datagram: Uint8Array, source: Source, now: Instant) => Decision;
  readonly flowClosed: (flow: Flow) => void;
  readonly upstreams: UpstreamSockets;
  readonly counters: RelayCounters;
  /** A mistake in a decision is the end of that datagram, not of all flows. */
  readonly mistaken: (error: unknown) => void;
}

/** Reads what clients send, asks what becomes of it, and sees to that. */
export class ClientIntake {
  readonly #options: IntakeOptions;
  readonly #batch = new ReceiveBatch({ slots: proxyLimits.batchSlots, withSources: true });
  /** Slots of those without a flow, who come after all others. */
  readonly #strangers = new Uint16Array(proxyLimits.batchSlots);
  /** For what is not in the batch: memory that does not move. */
  readonly #apart = new Uint8Array(new ArrayBuffer(65_536));

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Gives how many slots were filled. */
  readPublic(
    { clients }: PublicSocket,
    descriptor: number,
    slotsMax: number,
    now: Instant,
  ): number {
    const batch = this.#batch;
    const received = batch.receive(descriptor, slotsMax);
    let strangers = 0;
    for (let slot = 0; slot < received; slot++) {
      const client = clients.find(batch, slot);
      const isBare = (batch.byteAt(batch.offsetAt(slot)) & quicBit) !== 0;
      if (client === undefined || !isBare) this.#strangers[strangers++] = slot;
      else this.#takeSlot(client, slot, now);
    }
    this.#options.upstreams.flush();
    for (let index = 0; index < strangers; index++) {
      const slot = this.#strangers[index] ?? 0;
      this.#takeSlot(clients.find(batch, slot) ?? clients.create(batch, slot), slot, now);
    }
    this.#options.upstreams.flush();
    batch.clear();
    return received;
  }

  /** The same of what came by WebSocket, one datagram in each frame. */
  readDoor(door: Door, now: Instant): number {
    const batch = this.#batch;
    const received = batch.receive(door.way.descriptor, proxyLimits.batchSlots);
    for (let slot = 0; slot < received; slot++) {
      const client = door.clientOf(batch, slot);
      const bytes = batch.bytesAt(slot) - doorFrameBytes;
      if (client === undefined) this.#options.counters.drop("door");
      else if (bytes > 0) this.#take(client, batch.offsetAt(slot) + doorFrameBytes, bytes, now);
      else if (client.upstream !== undefined) this.#leave(client.upstream);
    }
    this.#options.upstreams.flush();
    batch.clear();
    return received;
  }

  /** The flow's socket, made where there is none. Undefined when there can be none: the core knows it then. */
  connect(client: Client, flow: Flow): Upstream | undefined {
    const { upstreams, counters, flowClosed } = this.#options;
    const upstream = upstreams.of(flow) ?? upstreams.open(flow, client);
    if (typeof upstream === "string") {
      counters.drop(upstream);
      flowClosed(flow);
      return undefined;
    }
    // Its own client, of whom this may be a copy: that one is forgotten when the socket goes.
    const owner = upstream.client;
    owner.upstream = upstream;
    owner.remember();
    return upstream;
  }

  disconnect(flow: Flow): void {
    const upstream = this.#options.upstreams.of(flow);
    if (upstream === undefined) return;
    const { client } = upstream;
    if (client.upstream === upstream) {
      client.upstream = undefined;
      client.forget();
    }
    this.#options.upstreams.close(upstream);
  }

  /** A hint. */
  answer(client: Client, bytes: Uint8Array): void {
    this.#options.counters.hints++;
    client.way.send(client, this.#copy(bytes), bytes.byteLength, bytes.byteLength);
    client.way.flush();
  }

  /** A datagram that had waited for its machine. */
  release(client: Client, flow: Flow, datagram: Uint8Array): void {
    const upstream = this.connect(client, flow);
    if (upstream === undefined) return;
    this.#options.upstreams.send(upstream, this.#copy(datagram), datagram.byteLength);
    this.#options.upstreams.flush();
  }

  #leave(upstream: Upstream): void {
    this.#options.flowClosed(upstream.flow);
    this.disconnect(upstream.flow);
  }

  #takeSlot(client: Client, slot: number, now: Instant): void {
    const bytes = this.#batch.bytesAt(slot);
    const segmentBytes = this.#batch.segmentBytesAt(slot);
    const from = this.#batch.offsetAt(slot);
    for (let at = 0; at < bytes; at += segmentBytes)
      this.#take(client, from + at, Math.min(segmentBytes, bytes - at), now);
  }

  #take(client: Client, offset: number, bytes: number, now: Instant): void {
    const { counters } = this.#options;
    counters.fromClientsDatagrams++;
    counters.fromClientsBytes += bytes;
    const decision = this.#decide(client, offset, bytes, now);
    if (decision === undefined) return;
    if (decision.kind === "forward") {
      const known = client.upstream;
      const upstream = known?.flow === decision ? known : this.connect(client, decision);
      if (upstream !== undefined)
        this.#options.upstreams.send(upstream, this.#batch.addressAt(offset), bytes);
    } else if (decision.kind === "hint") {
      this.answer(client, decision.bytes);
    }
  }

  #decide(client: Client, offset: number, bytes: number, now: Instant): Decision | undefined {
    try {
      return this.#options.fromClient(this.#batch.viewAt(offset, bytes), client, now);
    } catch (error) {
      this.#options.counters.drop("internal");
      this.#options.mistaken(error);
      return undefined;
    }
  }

  #copy(bytes: Uint8Array): number {
    this.#apart.set(bytes);
    return ptr(this.#apart);
  }
}
