import { ptr } from "bun:ffi";
import type { ReceiveBatch } from "../../../system/receive-batch.ts";
import type { SendTarget } from "../../../system/send-vector.ts";
import type { ClientWay } from "./client-way.ts";
import type { Flow } from "../decision.ts";
import type { Source } from "../source.ts";
import type { UpstreamQueue } from "./upstream-queue.ts";

/** Who sent a datagram, and how answers get there. The same object for as long as a flow of it lives. */
export abstract class Client implements Source, SendTarget {
  abstract readonly key: number | string;
  abstract readonly network: number | string;
  abstract readonly prefixAddress: number;
  abstract readonly prefixBytes: number;
  readonly way: ClientWay;
  upstream: Upstream | undefined;

  constructor(way: ClientWay) {
    this.way = way;
  }

  abstract writeAddress(words: Uint32Array, at: number): number;

  /** So that its next datagram finds this very object; `forget` when it has no flow any more. */
  abstract remember(): void;
  abstract forget(): void;
}

/** The socket that stands for one client at its machine. */
export interface Upstream {
  readonly descriptor: number;
  readonly flow: Flow;
  readonly client: Client;
  /** Of what is about to leave by it, in `Departures`; -1 for nothing. */
  firstDeparture: number;
  lastDeparture: number;
  /** Only while the socket is full. */
  queue: UpstreamQueue | undefined;
}

/** Where clients of one kind are remembered. */
export interface ClientHome<Kind> {
  add(client: Kind): void;
  remove(client: Kind): void;
}

export type SourceWords = Pick<ReceiveBatch, "sourceWordAt">;

export interface ClientNames extends Source {
  readonly hash: number;
  /** A `sockaddr_in` (4 words) or `sockaddr_in6` (7), as it lies in memory. */
  readonly words: Uint32Array;
}

/** Behind one of the public sockets. Many thousands of these: only what is needed, and nothing apart. */
export abstract class UdpClient extends Client {
  readonly key: number | string;
  readonly network: number | string;
  /** Where its home has it, and another one at the same place. */
  readonly hash: number;
  next: UdpClient | undefined;
  readonly #home: ClientHome<UdpClient>;

  constructor(way: ClientWay, home: ClientHome<UdpClient>, names: ClientNames) {
    super(way);
    this.#home = home;
    this.key = names.key;
    this.network = names.network;
    this.hash = names.hash;
  }

  get prefixAddress(): number {
    return 0;
  }

  get prefixBytes(): number {
    return 0;
  }

  /** Whether the slot is of this address. */
  abstract sent(batch: SourceWords, slot: number): boolean;

  remember(): void {
    this.#home.add(this);
  }

  forget(): void {
    this.#home.remove(this);
  }
}

export class Ipv4Client extends UdpClient {
  readonly #familyAndPort: number;
  readonly #address: number;

  constructor(way: ClientWay, home: ClientHome<UdpClient>, names: ClientNames) {
    super(way, home, names);
    [this.#familyAndPort = 0, this.#address = 0] = names.words;
  }

  sent(batch: SourceWords, slot: number): boolean {
    return (
      batch.sourceWordAt(slot, 0) === this.#familyAndPort &&
      batch.sourceWordAt(slot, 1) === this.#address
    );
  }

  writeAddress(words: Uint32Array, at: number): number {
    words[at] = this.#familyAndPort;
    words[at + 1] = this.#address;
    return 16;
  }
}

export class Ipv6Client extends UdpClient {
  readonly #words: Uint32Array;

  constructor(way: ClientWay, home: ClientHome<UdpClient>, names: ClientNames) {
    super(way, home, names);
    this.#words = names.words;
  }

  sent(batch: SourceWords, slot: number): boolean {
    if (this.#words[0] !== batch.sourceWordAt(slot, 0)) return false;
    // Not the flow label.
    for (let word = 2; word < this.#words.length; word++)
      if (this.#words[word] !== batch.sourceWordAt(slot, word)) return false;
    return true;
  }

  writeAddress(words: Uint32Array, at: number): number {
    words.set(this.#words, at);
    return this.#words.byteLength;
  }
}

/** Behind a connection of the web process. */
export class DoorClient extends Client {
  readonly key: string;
  readonly network: number | string;
  readonly connection: number;
  readonly prefixAddress: number;
  /** On memory of its own: the frame's header. */
  readonly #prefix: Uint8Array<ArrayBuffer>;
  readonly #home: DoorHome;

  constructor(
    way: ClientWay,
    home: DoorHome,
    names: {
      readonly connection: number;
      readonly network: number | string;
      readonly prefix: Uint8Array<ArrayBuffer>;
    },
  ) {
    super(way);
    this.#home = home;
    this.#prefix = names.prefix;
    this.prefixAddress = ptr(names.prefix);
    this.connection = names.connection;
    this.key = `door ${names.connection}`;
    this.network = names.network;
  }

  get prefixBytes(): number {
    return this.#prefix.byteLength;
  }

  writeAddress(words: Uint32Array, at: number): number {
    words.set(this.#home.webAddress, at);
    return this.#home.webAddress.byteLength;
  }

  remember(): void {
    this.#home.add(this);
  }

  forget(): void {
    this.#home.remove(this);
  }
}

export interface DoorHome extends ClientHome<DoorClient> {
  /** A `sockaddr_in` as it lies in memory: of the web process that lives now. */
  readonly webAddress: Uint32Array;
}
