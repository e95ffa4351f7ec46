import { constants } from "node:os";
import { ptr } from "bun:ffi";
import { cStruct, lastErrno, openLibc } from "./libc.ts";

/** Where datagrams go from a socket. The same object for all that may leave as one message. */
export interface SendTarget {
  /** Writes a `sockaddr_in` or `sockaddr_in6` and tells its length; 0 for a connected socket. */
  writeAddress(words: Uint32Array, at: number): number;
  /** Memory whose bytes go before every datagram; 0 for none. */
  readonly prefixAddress: number;
  readonly prefixBytes: number;
}

/** For connected sockets. */
export const connectedPeer: SendTarget = {
  writeAddress: () => 0,
  prefixAddress: 0,
  prefixBytes: 0,
};

/** Datagrams that a socket would not take, for a reason other than that it is full. */
export type SendFailed = (errno: number, datagrams: number) => void;

/**
 * Many datagrams to many peers in one system call (sendmmsg), from where they lie. Those of one peer
 * and one size that are added one after the other leave as one message, which the kernel cuts up again
 * (UDP_SEGMENT); the last may be shorter. Nothing is copied: the memory stays as it is until `flush`.
 * 64-bit Linux only.
 *
 * For each message, and one more for those that are sent apart: a `struct mmsghdr` of 64 bytes, a socket
 * address in 32 and a control message in 32; then all `struct iovec`.
 */
export class SendVector {
  readonly #libc = libc();
  readonly #failed: SendFailed;
  readonly #block = cStruct(blockBytes);
  readonly #address = ptr(this.#block);
  readonly #words = new Uint32Array(this.#block.buffer);
  readonly #firstPieces = new Uint16Array(messagesMax + 1);
  readonly #prefixPieces = new Uint8Array(messagesMax + 1);
  readonly #segmentBytes = new Uint32Array(messagesMax + 1);
  #count = 0;
  #pieces = 0;
  /** Of the last message. */
  #target: SendTarget | undefined;
  #datagrams = 0;
  #bytes = 0;
  #isOpen = false;
  #endAddress = 0;

  constructor(failed: SendFailed) {
    this.#failed = failed;
    for (let message = 0; message <= messagesMax; message++) this.#prepare(message);
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /**
   * Datagrams of `segmentBytes` side by side, only the last may be shorter. False when there is no room:
   * after a `flush` there is. With a prefix, one datagram at a time.
   */
  add(target: SendTarget, address: number, bytes: number, segmentBytes: number): boolean {
    const datagrams = Math.ceil(bytes / segmentBytes) || 1;
    if (this.#joins(target, bytes, segmentBytes, datagrams)) {
      if (address === this.#endAddress) this.#lengthen(bytes);
      else if (!this.#addPiece(address, bytes)) return false;
    } else {
      if (this.#count === messagesMax || this.#pieces + 2 > piecesMax) return false;
      this.#open(target, segmentBytes);
      this.#addPiece(address, bytes);
    }
    this.#datagrams += datagrams;
    this.#bytes += bytes;
    this.#endAddress = address + bytes;
    const message = this.#count - 1;
    this.#isOpen = bytes > 0 && bytes === datagrams * (this.#segmentBytes[message] ?? 0);
    this.#words[message * messageWords + controlLengthWord] = this.#datagrams > 1 ? 24 : 0;
    return true;
  }

  /**
   * Sends them all. False when the socket is full: `eachUnsent` tells what is left, until the next `add`.
   * What a socket reports when sending is mostly an answer to an earlier datagram, so each is tried twice.
   */
  flush(fd: number): boolean {
    let at = 0;
    let retried = -1;
    while (at < this.#count) {
      const rest = this.#count - at;
      const sent = this.#libc.sendmmsg(fd, this.#address + at * messageBytes, rest, sendFlags);
      if (sent > 0) {
        at += sent;
        continue;
      }
      const errno = lastErrno();
      if (errno === EINTR) continue;
      if (errno === EAGAIN || errno === ENOBUFS) return this.#blockedAt(at);
      if (retried === at) this.#sendApart(fd, at++, errno);
      else retried = at;
    }
    this.#reset();
    return true;
  }

  /** Forgets them. */
  eachUnsent(visit: (address: number, bytes: number) => void): void {
    for (let message = this.#unsentFrom; message < this.#count; message++)
      this.#eachDatagram(message, visit);
    this.#reset();
  }

  #unsentFrom = 0;

  #blockedAt(message: number): false {
    this.#unsentFrom = message;
    return false;
  }

  #reset(): void {
    this.#count = 0;
    this.#pieces = 0;
    this.#unsentFrom = 0;
    this.#target = undefined;
  }

  #joins(target: SendTarget, bytes: number, segmentBytes: number, datagrams: number): boolean {
    return (
      target === this.#target &&
      this.#isOpen &&
      target.prefixBytes === 0 &&
      segmentBytes <= (this.#segmentBytes[this.#count - 1] ?? 0) &&
      // A shorter one ends the message, and so must be alone.
      (segmentBytes === this.#segmentBytes[this.#count - 1] || datagrams === 1) &&
      this.#datagrams + datagrams <= datagramsPerMessageMax &&
      this.#bytes + bytes <= messagePayloadBytesMax
    );
  }

  #open(target: SendTarget, segmentBytes: number): void {
    const message = this.#count++;
    const at = message * messageWords;
    this.#target = target;
    this.#datagrams = 0;
    this.#bytes = 0;
    this.#firstPieces[message] = this.#pieces;
    this.#segmentBytes[message] = segmentBytes;
    this.#words[at + nameLengthWord] = target.writeAddress(
      this.#words,
      namesAt + message * nameWords,
    );
    this.#setPointer(at + vectorWord, this.#address + 4 * (vectorsAt + this.#pieces * vectorWords));
    this.#words[at + vectorLengthWord] = 0;
    const control = controlsAt + message * controlWords;
    this.#words[control + 4] = segmentBytes;
    this.#prefixPieces[message] = Number(target.prefixBytes > 0);
    if (target.prefixBytes > 0) this.#addPiece(target.prefixAddress, target.prefixBytes);
  }

  #addPiece(address: number, bytes: number): boolean {
    if (this.#pieces === piecesMax) return false;
    const at = vectorsAt + this.#pieces++ * vectorWords;
    this.#setPointer(at, address);
    this.#words[at + 2] = bytes;
    const length = (this.#count - 1) * messageWords + vectorLengthWord;
    this.#words[length] = (this.#words[length] ?? 0) + 1;
    return true;
  }

  #lengthen(bytes: number): void {
    const length = vectorsAt + (this.#pieces - 1) * vectorWords + 2;
    this.#words[length] = (this.#words[length] ?? 0) + bytes;
  }

  /** Where the kernel cannot cut, or will not for one of them: each by itself. */
  #sendApart(fd: number, message: number, errno: number): void {
    if (this.#words[message * messageWords + controlLengthWord] === 0) {
      this.#failed(errno, 1);
      return;
    }
    const spare = messagesMax * messageWords;
    this.#copyAddress(message);
    this.#words[spare + vectorLengthWord] = 1;
    this.#words[spare + controlLengthWord] = 0;
    this.#setPointer(spare + vectorWord, this.#address + 4 * spareVectorAt);
    this.#eachDatagram(message, (address, bytes) => {
      this.#setPointer(spareVectorAt, address);
      this.#words[spareVectorAt + 2] = bytes;
      const from = this.#address + messagesMax * messageBytes;
      if (this.#libc.sendmmsg(fd, from, 1, sendFlags) < 0) this.#failed(lastErrno(), 1);
    });
  }

  #copyAddress(message: number): void {
    const from = namesAt + message * nameWords;
    this.#words.copyWithin(namesAt + messagesMax * nameWords, from, from + nameWords);
    this.#words[messagesMax * messageWords + nameLengthWord] =
      this.#words[message * messageWords + nameLengthWord] ?? 0;
  }

  /** Without prefixes. */
  #eachDatagram(message: number, visit: (address: number, bytes: number) => void): void {
    const first = this.#firstPieces[message] ?? 0;
    const end = first + (this.#words[message * messageWords + vectorLengthWord] ?? 0);
    const segmentBytes = this.#segmentBytes[message] ?? 1;
    for (let piece = first + (this.#prefixPieces[message] ?? 0); piece < end; piece++) {
      const at = vectorsAt + piece * vectorWords;
      const address = (this.#words[at] ?? 0) + (this.#words[at + 1] ?? 0) * 2 ** 32;
      const bytes = this.#words[at + 2] ?? 0;
      for (let offset = 0; offset < bytes || offset === 0; offset += segmentBytes || 1)
        visit(address + offset, Math.min(segmentBytes, bytes - offset));
    }
  }

  #prepare(message: number): void {
    const at = message * messageWords;
    this.#setPointer(at, this.#address + 4 * (namesAt + message * nameWords));
    const control = controlsAt + message * controlWords;
    this.#setPointer(at + 8, this.#address + 4 * control);
    this.#words[control] = 18;
    this.#words[control + 2] = levelUdp;
    this.#words[control + 3] = udpSegment;
  }

  #setPointer(word: number, address: number): void {
    this.#words[word] = address >>> 0;
    this.#words[word + 1] = Math.floor(address / 2 ** 32);
  }
}

const messagesMax = 64;
const piecesMax = 512;
/** UDP_MAX_SEGMENTS of the kernels that have the fewest. */
const datagramsPerMessageMax = 64;
const messagePayloadBytesMax = 65_000;

const messageBytes = 64;
const messageWords = messageBytes / 4;
const nameWords = 8;
const controlWords = 8;
const vectorWords = 4;
const namesAt = (messagesMax + 1) * messageWords;
const controlsAt = namesAt + (messagesMax + 1) * nameWords;
const vectorsAt = controlsAt + (messagesMax + 1) * controlWords;
const spareVectorAt = vectorsAt + piecesMax * vectorWords;
const blockBytes = 4 * (spareVectorAt + vectorWords);

const nameLengthWord = 2;
const vectorWord = 4;
const vectorLengthWord = 6;
const controlLengthWord = 10;

const { EAGAIN, ENOBUFS, EINTR } = constants.errno;
const levelUdp = 17;
const udpSegment = 103;
/** MSG_DONTWAIT and MSG_NOSIGNAL. */
const sendFlags = 0x40 | 0x4000;

let opened: ReturnType<typeof openSendCall> | undefined;

function libc(): ReturnType<typeof openSendCall> {
  opened ??= openSendCall();
  return opened;
}

function openSendCall() {
  return openLibc({ sendmmsg: { args: ["i32", "u64", "u32", "i32"], returns: "i32" } });
}
