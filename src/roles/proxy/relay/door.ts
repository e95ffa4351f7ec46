import {
  bindSocket,
  boundAddress,
  openDatagramSocket,
  setBufferBytes,
} from "../../../system/datagram-socket.ts";
import type { ReceiveBatch } from "../../../system/receive-batch.ts";
import { DoorClient, type DoorHome } from "./client.ts";
import { ClientWay } from "./client-way.ts";
import { cookieBytes, doorFrameBytes } from "../door-frame.ts";
import { proxyLimits } from "../limits.ts";
import type { RelayCounters } from "../relay-counters.ts";

/** Where the web process hands datagrams over that came to it by WebSocket (`door-frame.ts`). */
export class Door implements DoorHome {
  readonly webAddress = new Uint32Array(4);
  readonly way: ClientWay;
  readonly port: number;
  readonly #cookie: Uint8Array;
  readonly #clients = new Map<number, DoorClient>();

  constructor(cookie: Uint8Array, counters: RelayCounters) {
    const descriptor = openDatagramSocket(4);
    setBufferBytes(descriptor, proxyLimits.publicBufferBytes, proxyLimits.publicBufferBytes);
    bindSocket(descriptor, { host: "127.0.0.1", port: 0 });
    this.port = boundAddress(descriptor).port;
    this.way = new ClientWay(descriptor, counters);
    this.#cookie = cookie;
  }

  /** Undefined without the cookie. */
  clientOf(batch: ReceiveBatch, slot: number): DoorClient | undefined {
    const offset = batch.offsetAt(slot);
    if (batch.bytesAt(slot) < doorFrameBytes || !this.#hasCookie(batch, offset)) return undefined;
    // Whoever has the cookie is the web process, the last one or a new one.
    for (let word = 0; word < this.webAddress.length; word++)
      this.webAddress[word] = batch.sourceWordAt(slot, word);
    let connection = 0;
    for (let at = connectionAt; at < addressAt; at++)
      connection = connection * 256 + batch.byteAt(offset + at);
    return this.#clients.get(connection) ?? this.#create(batch.viewAt(offset, doorFrameBytes));
  }

  add(client: DoorClient): void {
    this.#clients.set(client.connection, client);
  }

  remove(client: DoorClient): void {
    this.#clients.delete(client.connection);
  }

  #hasCookie(batch: ReceiveBatch, offset: number): boolean {
    let difference = 0;
    for (let at = 0; at < cookieBytes; at++)
      difference |= batch.byteAt(offset + at) ^ (this.#cookie[at] ?? 0);
    return difference === 0;
  }

  #create(header: Uint8Array): DoorClient {
    const prefix = new Uint8Array(new ArrayBuffer(doorFrameBytes));
    prefix.set(header);
    const view = new DataView(prefix.buffer);
    const isIpv4 = view.getBigUint64(addressAt) === 0n && view.getUint32(addressAt + 8) === 0xffff;
    return new DoorClient(this.way, this, {
      connection: view.getUint32(connectionAt),
      network: isIpv4
        ? view.getUint32(addressAt + 12)
        : `${Buffer.from(prefix.buffer, addressAt, 8).toString("hex")}/64`,
      prefix,
    });
  }
}

const connectionAt = 8;
const addressAt = 12;
