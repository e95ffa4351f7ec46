import { ptr } from "bun:ffi";
import { cStruct, lastErrno, openLibc } from "../system/libc.ts";
import type { SendBatch } from "./send-batch.ts";
import { writeSocketAddress } from "./socket-address.ts";

/**
 * What Bun's UDP socket lacks, by the socket's descriptor: options, and one `sendmsg` for many
 * datagrams (UDP_SEGMENT). 64-bit Linux only; elsewhere the portable path is used.
 *
 * One block of memory holds all structures, at these offsets:
 * msghdr 0 (56), iovec 64 (16), cmsghdr with a u16 80 (24), sockaddr 112 (28).
 */
export class UdpNative {
  readonly #fd: number;
  readonly #family: 4 | 6;
  readonly #libc = libc();
  readonly #block = cStruct(160);
  readonly #view = new DataView(this.#block.buffer);
  readonly #base = ptr(this.#block);
  #host = "";
  #port = -1;

  constructor(fd: number, family: 4 | 6) {
    this.#fd = fd;
    this.#family = family;
    const view = this.#view;
    pointer(view, 0, this.#base + 112);
    pointer(view, 16, this.#base + 64);
    pointer(view, 24, 1);
    pointer(view, 80, 18);
    view.setInt32(88, levelUdp, true);
    view.setInt32(92, udpSegment, true);
  }

  setOption(level: number, option: number, value: number): boolean {
    const data = new Int32Array(new ArrayBuffer(4));
    data[0] = value;
    return this.#libc.setsockopt(this.#fd, level, option, data, 4) === 0;
  }

  /**
   * What `send` sends arrives in one piece or not at all; it is not called where the kernel does not promise that.
   * Anything else the kernel cuts, if too large for a path once a router has said so: late, but it arrives.
   */
  whole(send: () => void): void {
    const isWhole = this.#setPathDiscovery(pathProbe);
    try {
      if (isWhole) send();
    } finally {
      this.#setPathDiscovery(pathWant);
    }
  }

  /** All datagrams of the batch at once. Gives 0, or the errno. */
  sendBatch(batch: SendBatch): number {
    this.#setAddress(batch.host, batch.port);
    const several = batch.count > 1;
    pointer(this.#view, 32, several ? this.#base + 80 : 0);
    pointer(this.#view, 40, several ? 24 : 0);
    if (several) this.#view.setUint16(96, batch.segmentBytes, true);
    return this.#sendMessage(ptr(batch.buffer), batch.totalBytes);
  }

  /** One datagram of the batch, for kernels that cannot cut. */
  sendOne(batch: SendBatch, index: number): number {
    this.#setAddress(batch.host, batch.port);
    pointer(this.#view, 32, 0);
    pointer(this.#view, 40, 0);
    const start = index * batch.segmentBytes;
    const length = Math.min(batch.segmentBytes, batch.totalBytes - start);
    return this.#sendMessage(ptr(batch.buffer) + start, length);
  }

  #setPathDiscovery(mode: number): boolean {
    const isSet = this.setOption(levelIp, ipPathDiscovery, mode);
    return this.#family === 4 ? isSet : this.setOption(levelIpv6, ipv6PathDiscovery, mode) && isSet;
  }

  #sendMessage(address: number, length: number): number {
    pointer(this.#view, 64, address);
    pointer(this.#view, 72, length);
    const sent = this.#libc.sendmsg(this.#fd, this.#block, 0);
    return Number(sent) >= 0 ? 0 : lastErrno();
  }

  #setAddress(host: string, port: number): void {
    if (port === this.#port && host === this.#host) return;
    const address = new DataView(this.#block.buffer, 112, 28);
    this.#view.setUint32(8, writeSocketAddress(address, this.#family, host, port), true);
    this.#host = host;
    this.#port = port;
  }
}

function pointer(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

let opened: ReturnType<typeof openFunctions> | undefined;

function libc(): ReturnType<typeof openFunctions> {
  opened ??= openFunctions();
  return opened;
}

function openFunctions() {
  return openLibc({
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    sendmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
  });
}

/** IP_MTU_DISCOVER and IPV6_MTU_DISCOVER, with IP_PMTUDISC_WANT (Linux's own choice) or IP_PMTUDISC_PROBE. */
const levelIp = 0;
const ipPathDiscovery = 10;
const levelIpv6 = 41;
const ipv6PathDiscovery = 23;
const pathWant = 1;
const pathProbe = 3;
const levelUdp = 17;
const udpSegment = 103;
