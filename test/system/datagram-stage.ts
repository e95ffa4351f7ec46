import { ptr } from "bun:ffi";
import {
  bindSocket,
  boundAddress,
  closeSocket,
  connectSocket,
  type DatagramAddress,
  openDatagramSocket,
  setBufferBytes,
  setSocketOption,
  socketOptions,
} from "../../src/system/datagram-socket.ts";
import { Epoll, epollEvents } from "../../src/system/epoll.ts";
import { ReceiveBatch } from "../../src/system/receive-batch.ts";
import type { SendTarget } from "../../src/system/send-vector.ts";

/** Two sockets on loopback, the one connected to the other. */
export class DatagramPair {
  readonly sender: number;
  readonly receiver: number;
  readonly address: DatagramAddress;
  readonly batch: ReceiveBatch = new ReceiveBatch({ slots: 8, withSources: true });
  readonly #epoll: Epoll = new Epoll(1);

  constructor(host: string, { joined = false }: { readonly joined?: boolean } = {}) {
    const family = host.includes(":") ? 6 : 4;
    this.receiver = openDatagramSocket(family);
    setBufferBytes(this.receiver, 4 << 20, 4 << 20);
    bindSocket(this.receiver, { host, port: 0 });
    if (joined) setSocketOption(this.receiver, socketOptions.joinReceived, 1);
    this.address = boundAddress(this.receiver);
    this.sender = openDatagramSocket(family);
    connectSocket(this.sender, this.address);
    this.#epoll.add(this.receiver, epollEvents.readable);
  }

  /** Into so many slots at most; waits for so many: under load the kernel delivers a little later. */
  receive(slotsMax: number, slots = 1): number {
    let received = 0;
    while (received < slots && this.#epoll.wait(20_000) > 0)
      received += this.batch.receive(this.receiver, slotsMax - received);
    return received;
  }

  /** What the slots hold, a list of datagrams each. */
  get contents(): number[][][] {
    const { batch } = this;
    return Array.from({ length: batch.count }, (_, slot) => {
      const [bytes, segment] = [batch.bytesAt(slot), batch.segmentBytesAt(slot)];
      const count = Math.ceil(bytes / segment);
      return Array.from({ length: count }, (_unused, index) => [
        ...batch.viewAt(
          batch.offsetAt(slot) + index * segment,
          Math.min(segment, bytes - index * segment),
        ),
      ]);
    });
  }

  [Symbol.dispose](): void {
    this.#epoll.close();
    closeSocket(this.sender);
    closeSocket(this.receiver);
  }
}

/** As many slots as are said, of a socket that may get them a little later. */
export function receiveSlots(batch: ReceiveBatch, socket: number, slots: number): number {
  const epoll = new Epoll(1);
  epoll.add(socket, epollEvents.readable);
  let received = 0;
  while (received < slots && epoll.wait(20_000) > 0)
    received += batch.receive(socket, slots - received);
  epoll.close();
  return received;
}

/** Memory that does not move, with its address. */
export function memory(...bytes: number[]): {
  readonly bytes: Uint8Array;
  readonly address: number;
} {
  const made = new Uint8Array(new ArrayBuffer(bytes.length));
  made.set(bytes);
  return { bytes: made, address: ptr(made) };
}

/** On 127.0.0.1, for a socket that is not connected. */
export function targetAt(port: number): SendTarget {
  return {
    prefixAddress: 0,
    prefixBytes: 0,
    writeAddress: (words, at) => {
      words[at] = 2 | ((port & 0xff) << 24) | ((port >> 8) << 16);
      words[at + 1] = 0x0100_007f;
      return 16;
    },
  };
}
