import { closeSync } from "node:fs";
import { ptr } from "bun:ffi";
import { addressBytes, addressText } from "./ip-address.ts";
import { check, cStruct, openLibc } from "./libc.ts";

/** A numeric address and a port. */
export interface DatagramAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * UDP sockets without anything in between: non-blocking, closed on exec, and with no error of one peer
 * reported on what is sent to another. Datagrams are never cut up on their way, and nobody on the
 * path can tell us of smaller ones: QUIC finds the size out by itself. 64-bit Linux only.
 */
export function openDatagramSocket(family: 4 | 6): number {
  const domain = family === 4 ? inet : inet6;
  const fd = check("socket", () => libc().socket(domain, datagrams | nonBlocking | closeOnExec, 0));
  if (family === 4) {
    setSocketOption(fd, options.mtuDiscover, probe);
    setSocketOption(fd, options.receiveErrors, 0);
  } else {
    setSocketOption(fd, options.onlyIpv6, 1);
    setSocketOption(fd, options.mtuDiscoverIpv6, probe);
    setSocketOption(fd, options.receiveErrorsIpv6, 0);
  }
  return fd;
}

/** Throws `SystemError`. */
export function bindSocket(fd: number, address: DatagramAddress): void {
  const length = writeAddress(address);
  check("bind", () => libc().bind(fd, ptr(scratch), length), addressLabel(address));
}

/** Datagrams of nobody else come in from now on. Throws `SystemError`. */
export function connectSocket(fd: number, address: DatagramAddress): void {
  const length = writeAddress(address);
  check("connect", () => libc().connect(fd, ptr(scratch), length), addressLabel(address));
}

export function boundAddress(fd: number): DatagramAddress {
  scratchView.setUint32(scratchOptionAt, 28, true);
  check("getsockname", () => libc().getsockname(fd, ptr(scratch), ptr(scratch) + scratchOptionAt));
  const isIpv4 = scratchView.getUint16(0, true) === inet;
  const raw = isIpv4 ? scratch.subarray(4, 8) : scratch.subarray(8, 24);
  return { host: addressText(raw), port: scratchView.getUint16(2) };
}

export type SocketOption = readonly [level: number, option: number];

/** Throws `SystemError`. */
export function setSocketOption(fd: number, option: SocketOption, value: number): void {
  scratchView.setInt32(scratchOptionAt, value, true);
  const address = ptr(scratch) + scratchOptionAt;
  check("setsockopt", () => libc().setsockopt(fd, option[0], option[1], address, 4));
}

/** Beyond what the system allows to all, where we may; else as much as it does. */
export function setBufferBytes(fd: number, receive: number, send: number): void {
  for (const [forced, plain, bytes] of [
    [options.receiveBufferForced, options.receiveBuffer, receive],
    [options.sendBufferForced, options.sendBuffer, send],
  ] as const) {
    try {
      setSocketOption(fd, forced, bytes);
    } catch {
      setSocketOption(fd, plain, bytes);
    }
  }
}

/** What `setBufferBytes` came to. */
export function receiveBufferBytes(fd: number): number {
  const [level, option] = options.receiveBuffer;
  scratchView.setUint32(0, 4, true);
  const address = ptr(scratch) + scratchOptionAt;
  check("getsockopt", () => libc().getsockopt(fd, level, option, address, ptr(scratch)));
  // The kernel says twice what was asked for: as much again is for its own structures.
  return scratchView.getInt32(scratchOptionAt, true) / 2;
}

export const socketOptions = {
  /** Several equal datagrams of one peer come as one piece of memory. */
  joinReceived: [17, 104],
  sharePort: [1, 15],
} as const satisfies Record<string, SocketOption>;

export function closeSocket(fd: number): void {
  closeSync(fd);
}

/** Into `scratch`; gives its length. */
function writeAddress({ host, port }: DatagramAddress): number {
  const raw = addressBytes(host);
  scratch.fill(0);
  scratchView.setUint16(0, raw.byteLength === 4 ? inet : inet6, true);
  scratchView.setUint16(2, port);
  scratch.set(raw, raw.byteLength === 4 ? 4 : 8);
  return raw.byteLength === 4 ? 16 : 28;
}

function addressLabel({ host, port }: DatagramAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A socket address, and an int behind it. One for all: no call lasts beyond its return. */
const scratch = cStruct(32);
const scratchView = new DataView(scratch.buffer);
const scratchOptionAt = 28;
const inet = 2;
const inet6 = 10;
const datagrams = 2;
const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;
/** IP_PMTUDISC_PROBE. */
const probe = 3;
const options = {
  mtuDiscover: [0, 10],
  receiveErrors: [0, 11],
  mtuDiscoverIpv6: [41, 23],
  receiveErrorsIpv6: [41, 25],
  onlyIpv6: [41, 26],
  sendBuffer: [1, 7],
  receiveBuffer: [1, 8],
  sendBufferForced: [1, 32],
  receiveBufferForced: [1, 33],
} as const satisfies Record<string, SocketOption>;

let opened: ReturnType<typeof openSocketCalls> | undefined;

function libc(): ReturnType<typeof openSocketCalls> {
  opened ??= openSocketCalls();
  return opened;
}

function openSocketCalls() {
  return openLibc({
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
    getsockname: { args: ["i32", "ptr", "u64"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "u64", "ptr"], returns: "i32" },
    setsockopt: { args: ["i32", "i32", "i32", "u64", "u32"], returns: "i32" },
  });
}
