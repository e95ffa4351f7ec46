import { addressText } from "../../../system/ip-address.ts";
import {
  type ClientHome,
  Ipv4Client,
  Ipv6Client,
  type SourceWords,
  type UdpClient,
} from "./client.ts";
import type { ClientWay } from "./client-way.ts";
import type { Source } from "../source.ts";

/**
 * The clients of one public socket that have a flow, found by the address as the kernel writes it: no
 * text is made for a datagram of somebody known.
 */
export class ClientTable implements ClientHome<UdpClient> {
  readonly #way: ClientWay;
  /** Which public address: the core must tell clients of several apart. */
  readonly #index: number;
  readonly #seed: number;
  readonly #clients = new Map<number, UdpClient>();

  /** `seed`: some random number, so that nobody can choose addresses that collide. */
  constructor(way: ClientWay, index: number, seed: number) {
    this.#way = way;
    this.#index = index;
    this.#seed = seed;
  }

  get size(): number {
    return this.#clients.size;
  }

  find(batch: SourceWords, slot: number): UdpClient | undefined {
    let client = this.#clients.get(this.#hash(batch, slot));
    while (client !== undefined && !client.sent(batch, slot)) client = client.next;
    return client;
  }

  /** Somebody new, who is not remembered until `add`. */
  create(batch: SourceWords, slot: number): UdpClient {
    const isOld = isIpv4(batch.sourceWordAt(slot, 0));
    const words = new Uint32Array(isOld ? 4 : 7);
    for (let word = 0; word < words.length; word++) words[word] = batch.sourceWordAt(slot, word);
    const names = { ...this.#names(words), words, hash: this.#hash(batch, slot) };
    return isOld ? new Ipv4Client(this.#way, this, names) : new Ipv6Client(this.#way, this, names);
  }

  add(client: UdpClient): void {
    const first = this.#clients.get(client.hash);
    for (let other = first; other !== undefined; other = other.next) if (other === client) return;
    client.next = first;
    this.#clients.set(client.hash, client);
  }

  remove(client: UdpClient): void {
    let before = this.#clients.get(client.hash);
    if (before === client) {
      if (client.next === undefined) this.#clients.delete(client.hash);
      else this.#clients.set(client.hash, client.next);
    } else {
      while (before !== undefined && before.next !== client) before = before.next;
      if (before !== undefined) before.next = client.next;
    }
    client.next = undefined;
  }

  #names(words: Uint32Array<ArrayBuffer>): Source {
    const view = new DataView(words.buffer);
    const port = view.getUint16(2);
    if (words.length === 4) {
      const network = view.getUint32(4);
      const key = network * 65_536 + port;
      return { key: this.#index === 0 ? key : `${this.#index} ${key}`, network };
    }
    const host = addressText(new Uint8Array(words.buffer, 8, 16));
    const network = `${Buffer.from(words.buffer, 8, 8).toString("hex")}/64`;
    return { key: `${this.#index} ${host} ${port} ${view.getUint32(24)}`, network };
  }

  /** Exact for IPv4: address and port. */
  #hash(batch: SourceWords, slot: number): number {
    const first = batch.sourceWordAt(slot, 0);
    if (isIpv4(first)) return batch.sourceWordAt(slot, 1) * 65_536 + (first >>> 16);
    let one = this.#seed;
    let two = first;
    for (let word = 2; word < 6; word++) {
      one = Math.imul(one ^ batch.sourceWordAt(slot, word), 0x9e37_79b1);
      two = Math.imul(two ^ one ^ (one >>> 15), 0x85eb_ca6b);
    }
    return (one >>> 0) * 65_536 + (two >>> 16);
  }
}

function isIpv4(firstWord: number): boolean {
  return (firstWord & 0xffff) === addressFamily4;
}

const addressFamily4 = 2;
