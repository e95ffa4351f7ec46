import { ptr } from "bun:ffi";
import { cStruct, lastErrno, openLibc } from "./libc.ts";

export interface ReceiveBatchOptions {
  /** Pieces of memory, each for what one `recvmsg` gives. */
  readonly slots: number;
  /** Told who sent it; a connected socket knows. */
  readonly withSources: boolean;
}

/**
 * Many datagrams in one system call (recvmmsg), into memory that is made once. A slot holds one datagram,
 * or several equal ones of one peer side by side, the last of them maybe shorter, where the socket joins
 * what it received. Everything stays where it is until `clear`. 64-bit Linux only.
 *
 * For each slot: a `struct mmsghdr` of 64 bytes, a `struct iovec` of 16, a socket address in 32 and a
 * control message in 32.
 */
export class ReceiveBatch {
  readonly #libc = libc();
  readonly #slots: number;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #dataAddress: number;
  readonly #block: Uint8Array<ArrayBuffer>;
  readonly #blockAddress: ReturnType<typeof ptr>;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #nameWords: number;
  readonly #controlWords: number;
  readonly #nameBytes: number;
  readonly #views = new Map<number, Uint8Array>();
  #count = 0;

  constructor({ slots, withSources }: ReceiveBatchOptions) {
    this.#slots = slots;
    this.#nameBytes = withSources ? nameBytesMax : 0;
    this.#data = cStruct(slots * slotBytes);
    this.#dataAddress = ptr(this.#data);
    this.#block = cStruct(slots * (messageBytes + vectorBytes + nameBytesMax + controlBytes));
    this.#blockAddress = ptr(this.#block);
    this.#words = new Uint32Array(this.#block.buffer);
    this.#nameWords = (slots * (messageBytes + vectorBytes)) / 4;
    this.#controlWords = this.#nameWords + (slots * nameBytesMax) / 4;
    for (let slot = 0; slot < slots; slot++) this.#prepare(slot);
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.#slots;
  }

  /** Behind what is there already. Gives how many slots were filled, or the errno below zero. */
  receive(fd: number, slotsMax: number): number {
    const slots = Math.min(slotsMax, this.#slots - this.#count);
    const address = this.#blockAddress + this.#count * messageBytes;
    const received = this.#libc.recvmmsg(fd, address, slots, dontWait, null);
    if (received < 0) return -lastErrno();
    this.#count += received;
    return received;
  }

  clear(): void {
    for (let slot = 0; slot < this.#count; slot++) {
      const at = slot * messageWords;
      this.#words[at + nameLengthWord] = this.#nameBytes;
      this.#words[at + controlLengthWord] = controlBytes;
    }
    this.#count = 0;
  }

  /** Of all datagrams in the slot. */
  bytesAt(slot: number): number {
    return this.#words[slot * messageWords + lengthWord] ?? 0;
  }

  /** Of each datagram in the slot, but maybe the last. */
  segmentBytesAt(slot: number): number {
    const control = this.#controlWords + slot * (controlBytes / 4);
    const joined =
      (this.#words[slot * messageWords + controlLengthWord] ?? 0) >= joinedBytes &&
      this.#words[control + 2] === levelUdp &&
      this.#words[control + 3] === udpJoined;
    return joined ? (this.#words[control + 4] ?? 0) : this.bytesAt(slot);
  }

  /** Where the slot begins, for `viewAt` and `addressAt`. */
  offsetAt(slot: number): number {
    return slot * slotBytes;
  }

  /** For system calls. */
  addressAt(offset: number): number {
    return this.#dataAddress + offset;
  }

  /** The same objects again and again: a new one for each datagram is garbage for each datagram. */
  viewAt(offset: number, bytes: number): Uint8Array {
    const key = offset * 65_536 + bytes;
    const known = this.#views.get(key);
    if (known !== undefined) return known;
    if (this.#views.size >= viewsMax) this.#views.clear();
    const view = this.#data.subarray(offset, offset + bytes);
    this.#views.set(key, view);
    return view;
  }

  byteAt(offset: number): number {
    return this.#data[offset] ?? 0;
  }

  /** Eight words: a `sockaddr_in` or `sockaddr_in6` as it lies in memory. */
  sourceWordAt(slot: number, word: number): number {
    return this.#words[this.#nameWords + slot * nameWords + word] ?? 0;
  }

  #prepare(slot: number): void {
    const at = slot * messageWords;
    const vector = this.#slots * messageWords + slot * 4;
    if (this.#nameBytes > 0) this.#setPointer(at, 4 * (this.#nameWords + slot * nameWords));
    this.#words[at + nameLengthWord] = this.#nameBytes;
    this.#setPointer(at + 4, 4 * vector);
    this.#words[at + 6] = 1;
    this.#setPointer(at + 8, 4 * (this.#controlWords + slot * (controlBytes / 4)));
    this.#words[at + controlLengthWord] = controlBytes;
    const memory = this.#dataAddress + slot * slotBytes;
    this.#words[vector] = memory >>> 0;
    this.#words[vector + 1] = Math.floor(memory / 2 ** 32);
    this.#words[vector + 2] = datagramBytesMax;
  }

  #setPointer(word: number, offset: number): void {
    const address = this.#blockAddress + offset;
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = Math.floor(address / 2 ** 32);
  }
}

const datagramBytesMax = 65_536;
/** A little more, so that the beginnings of all slots do not share the same few lines of the processor's cache. */
const slotBytes = datagramBytesMax + 33 * 64;
const viewsMax = 8192;
const messageBytes = 64;
const vectorBytes = 16;
const nameBytesMax = 32;
const controlBytes = 32;
const messageWords = messageBytes / 4;
const nameWords = nameBytesMax / 4;
const nameLengthWord = 2;
const controlLengthWord = 10;
const lengthWord = 14;
/** A header of 16 bytes and an int. */
const joinedBytes = 20;
const levelUdp = 17;
const udpJoined = 104;
const dontWait = 0x40;

let opened: ReturnType<typeof openReceiveCall> | undefined;

function libc(): ReturnType<typeof openReceiveCall> {
  opened ??= openReceiveCall();
  return opened;
}

function openReceiveCall() {
  return openLibc({
    recvmmsg: { args: ["i32", "u64", "u32", "i32", "ptr"], returns: "i32" },
  });
}
