import { ptr } from "bun:ffi";
import { addressBytes } from "../../src/system/ip-address.ts";
import { cStruct, openLibc } from "../../src/system/libc.ts";

/**
 * Many clients with one socket: every datagram has a source address of its own (IP_PKTINFO), and all
 * structures are made once, so that a datagram costs the sender no more than its share of a system call.
 *
 * For each flow: a `struct mmsghdr` of 64 bytes, a `struct iovec` of 16, a control message of 32.
 */
export class FlowSender {
  readonly flows: number;
  readonly datagramBytes: number;
  readonly payloads: Uint8Array<ArrayBuffer>;
  readonly #block: Uint8Array<ArrayBuffer>;
  readonly #address: number;
  readonly #name = cStruct(16);
  readonly #libc = openLibc({
    sendmmsg: { args: ["i32", "u64", "u32", "i32"], returns: "i32" },
  });

  constructor(
    sources: readonly string[],
    datagramBytes: number,
    to: { readonly host: string; readonly port: number },
  ) {
    this.flows = sources.length;
    this.datagramBytes = datagramBytes;
    this.payloads = cStruct(this.flows * datagramBytes);
    this.#block = cStruct(this.flows * 112);
    this.#address = ptr(this.#block);
    const name = new DataView(this.#name.buffer);
    name.setUint16(0, 2, true);
    name.setUint16(2, to.port);
    this.#name.set(addressBytes(to.host), 4);
    for (const [flow, source] of sources.entries()) this.#prepare(flow, addressBytes(source));
  }

  payload(flow: number): Uint8Array {
    return this.payloads.subarray(flow * this.datagramBytes, (flow + 1) * this.datagramBytes);
  }

  /** Of `count` flows from this one on. Gives how many went, 0 when the socket is full. */
  send(fd: number, flow: number, count: number): number {
    return Math.max(0, this.#libc.sendmmsg(fd, this.#address + flow * 64, count, 0x40));
  }

  #prepare(flow: number, source: Uint8Array): void {
    const view = new DataView(this.#block.buffer);
    const message = flow * 64;
    const vector = this.flows * 64 + flow * 16;
    const control = this.flows * 80 + flow * 32;
    const pointer = (at: number, address: number): void =>
      view.setBigUint64(at, BigInt(address), true);
    pointer(message, ptr(this.#name));
    view.setUint32(message + 8, 16, true);
    pointer(message + 16, this.#address + vector);
    pointer(message + 24, 1);
    pointer(message + 32, this.#address + control);
    pointer(message + 40, 32);
    pointer(vector, ptr(this.payloads) + flow * this.datagramBytes);
    pointer(vector + 8, this.datagramBytes);
    // A header, then struct in_pktinfo: interface, the address to send from, another.
    pointer(control, 28);
    view.setInt32(control + 8, 0, true);
    view.setInt32(control + 12, 8, true);
    this.#block.set(source, control + 20);
  }
}
