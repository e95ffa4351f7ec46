import { constants } from "node:os";
import { ptr, toArrayBuffer } from "bun:ffi";
import {
  closeSocket,
  connectSocket,
  openDatagramSocket,
  setBufferBytes,
  setSocketOption,
  socketOptions,
} from "../../../system/datagram-socket.ts";
import { Epoll, epollEvents } from "../../../system/epoll.ts";
import { SystemError } from "../../../system/libc.ts";
import { ReceiveBatch } from "../../../system/receive-batch.ts";
import { connectedPeer, SendVector } from "../../../system/send-vector.ts";
import type { Client, Upstream } from "./client.ts";
import type { DropCause, Flow, Instant } from "../decision.ts";
import { Departures } from "./departures.ts";
import { proxyLimits } from "../limits.ts";
import type { LoopDropCause, RelayCounters } from "../relay-counters.ts";
import { UpstreamQueue, type QueuedBytes } from "./upstream-queue.ts";

export interface UpstreamOptions {
  readonly backendPort: number;
  readonly counters: RelayCounters;
  /** May these go to the client? */
  readonly fromMachine: (
    flow: Flow,
    bytes: number,
    datagrams: number,
    now: Instant,
  ) => DropCause | null;
  /** Sends what was handed to the clients' ways: the memory is about to be used again. */
  readonly flushClients: () => void;
}

/** One connected socket for each flow: a machine sees another client at each, and answers come back by it. */
export class UpstreamSockets {
  readonly #options: UpstreamOptions;
  readonly #epoll = new Epoll(proxyLimits.upstreamsPerTurnMax);
  readonly #batch = new ReceiveBatch({ slots: proxyLimits.batchSlots, withSources: false });
  readonly #vector: SendVector;
  readonly #departures = new Departures();
  readonly #sockets: (Upstream | undefined)[] = [];
  readonly #queued: QueuedBytes = { total: 0 };
  #open = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#vector = new SendVector((errno, datagrams) =>
      options.counters.sendFailed(errno, datagrams),
    );
  }

  /** Readable when one of the sockets is. */
  get descriptor(): number {
    return this.#epoll.descriptor;
  }

  get size(): number {
    return this.#open;
  }

  get queuedBytes(): number {
    return this.#queued.total;
  }

  /** The cause when there can be none now. */
  open(flow: Flow, client: Client): Upstream | LoopDropCause {
    let descriptor = -1;
    try {
      descriptor = openDatagramSocket(flow.address.includes(":") ? 6 : 4);
      setSocketOption(descriptor, socketOptions.joinReceived, 1);
      setBufferBytes(descriptor, proxyLimits.upstreamBufferBytes, proxyLimits.upstreamBufferBytes);
      connectSocket(descriptor, { host: flow.address, port: this.#options.backendPort });
      this.#epoll.add(descriptor, epollEvents.readable);
    } catch (error) {
      if (descriptor !== -1) closeSocket(descriptor);
      if (!(error instanceof SystemError)) throw error;
      return outOfMeans.has(error.errno) ? "descriptors" : "no-route";
    }
    const upstream: Upstream = {
      descriptor,
      flow,
      client,
      firstDeparture: -1,
      lastDeparture: -1,
      queue: undefined,
    };
    flow.descriptor = descriptor;
    this.#sockets[descriptor] = upstream;
    this.#open++;
    this.#options.counters.flowsOpened++;
    return upstream;
  }

  of(flow: Flow): Upstream | undefined {
    const upstream = this.#sockets[flow.descriptor];
    return upstream?.flow === flow ? upstream : undefined;
  }

  close(upstream: Upstream): void {
    this.flush();
    upstream.queue?.clear();
    upstream.flow.descriptor = -1;
    this.#sockets[upstream.descriptor] = undefined;
    closeSocket(upstream.descriptor);
    this.#open--;
    this.#options.counters.flowsClosed++;
  }

  closeAll(): void {
    for (const upstream of this.#sockets) if (upstream !== undefined) this.close(upstream);
    this.#epoll.close();
  }

  /** One datagram for the machine. The memory is to stay as it is until `flush`. */
  send(upstream: Upstream, address: number, bytes: number): void {
    this.#options.counters.toMachinesDatagrams++;
    if (upstream.queue !== undefined) {
      this.#enqueue(upstream.queue, address, bytes);
      return;
    }
    if (this.#departures.isFull) this.flush();
    this.#departures.add(upstream, address, bytes);
  }

  flush(): void {
    this.#departures.flush(this.#vector, this.#blocked);
  }

  /** A few datagrams from each of the sockets that have some; those left out are first next time. */
  read(now: Instant): void {
    const ready = this.#epoll.wait(0);
    for (let index = 0; index < ready; index++) {
      const upstream = this.#sockets[this.#epoll.descriptorAt(index)];
      if (upstream === undefined) continue;
      if (this.#epoll.isWritable(index)) this.#drain(upstream);
      this.#readFrom(upstream, now);
    }
    this.#recycle();
  }

  #readFrom(upstream: Upstream, now: Instant): void {
    if (this.#batch.isFull) this.#recycle();
    const { counters, fromMachine } = this.#options;
    const batch = this.#batch;
    const from = batch.count;
    // An error is the answer to something sent earlier; reading has cleared it.
    if (batch.receive(upstream.descriptor, proxyLimits.slotsPerUpstreamTurn) <= 0) return;
    const { client, flow } = upstream;
    for (let slot = from; slot < batch.count; slot++) {
      const bytes = batch.bytesAt(slot);
      if (bytes === 0) continue;
      const segmentBytes = batch.segmentBytesAt(slot);
      const datagrams = Math.ceil(bytes / segmentBytes);
      counters.fromMachinesDatagrams += datagrams;
      counters.fromMachinesBytes += bytes;
      if (fromMachine(flow, bytes, datagrams, now) !== null) continue;
      client.way.send(client, batch.addressAt(batch.offsetAt(slot)), bytes, segmentBytes);
      counters.toClientsDatagrams += datagrams;
    }
  }

  #recycle(): void {
    this.#options.flushClients();
    this.#batch.clear();
  }

  readonly #blocked = (upstream: Upstream): void => {
    upstream.queue ??= new UpstreamQueue(this.#queued);
    const { queue } = upstream;
    this.#vector.eachUnsent((address, bytes) => this.#enqueue(queue, address, bytes));
    this.#epoll.change(upstream.descriptor, epollEvents.readable | epollEvents.writable);
  };

  #enqueue(queue: UpstreamQueue, address: number, bytes: number): void {
    const copy = new Uint8Array(toArrayBuffer(address, 0, bytes).slice(0));
    const lost = queue.push(copy);
    if (lost > 0) this.#options.counters.drop("machine-blocked", lost);
  }

  #drain(upstream: Upstream): void {
    const { queue, descriptor } = upstream;
    if (queue === undefined) return;
    for (let first = queue.first; first !== undefined; first = queue.first) {
      this.#vector.add(connectedPeer, ptr(first), first.byteLength, first.byteLength);
      if (!this.#vector.flush(descriptor)) {
        this.#vector.eachUnsent(() => undefined);
        return;
      }
      queue.shift();
    }
    upstream.queue = undefined;
    this.#epoll.change(descriptor, epollEvents.readable);
  }
}

const { EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC } = constants.errno;
/** EAGAIN: no port is free. ENOSPC is epoll's: too many watches of one user. */
const outOfMeans: ReadonlySet<number> = new Set([EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC]);
