import { constants } from "node:os";
import type { SocketAddress } from "./connection.ts";
import type { DatagramCarrier, DatagramReceiver, KnowsDatagram } from "./carrier.ts";
import { quicLimits } from "./limits.ts";
import { datagramBytesOf } from "./merged-datagrams.ts";
import type { SendBatch } from "./send-batch.ts";
import { UdpNative } from "./udp-native.ts";

type Socket = Bun.udp.Socket<"buffer">;

/** For QUIC: datagrams that came together are taken from the kernel together, where Linux can. */
export async function openQuicUdp(
  bind: SocketAddress,
  receive: DatagramReceiver,
  knows: KnowsDatagram = () => false,
): Promise<DatagramCarrier> {
  return openSocket(bind, { mergeReceived: true }, (block, port, host) => {
    const length = datagramBytesOf(block, host, knows);
    for (let at = 0; at < block.byteLength; at += length)
      receive(block.subarray(at, at + length), port, host);
  });
}

/** A UDP socket of Bun's, cured of what makes it unsafe for a server and sped up where Linux can. */
export async function openUdp(
  bind: SocketAddress,
  receive: DatagramReceiver,
): Promise<DatagramCarrier> {
  return openSocket(bind, { mergeReceived: false }, receive);
}

async function openSocket(
  bind: SocketAddress,
  options: { readonly mergeReceived: boolean },
  receive: DatagramReceiver,
): Promise<DatagramCarrier> {
  const socket = await Bun.udpSocket({
    hostname: bind.host,
    port: bind.port,
    binaryType: "buffer",
    socket: {
      data: (_socket, datagram, port, host) => receive(datagram, port, host),
      // Only ICMP answers to datagrams of ours end here; quiche notices silence by itself.
      error: () => undefined,
    },
  });
  const native = process.platform === "linux" ? nativeHalf(socket) : undefined;
  if (options.mergeReceived) native?.setOption(levelUdp, udpMergeReceived, 1);
  return new UdpCarrier(socket, native);
}

class UdpCarrier implements DatagramCarrier {
  readonly address: SocketAddress;
  readonly mayLinger = true;
  readonly #socket: Socket;
  readonly #native: UdpNative | undefined;
  #canSegment = true;
  /** First datagram of a batch that did not fit into the socket in one go. */
  #resumeAt = 0;

  constructor(socket: Socket, native: UdpNative | undefined) {
    this.#socket = socket;
    this.#native = native;
    this.address = { host: socket.hostname, port: socket.port };
  }

  send(batch: SendBatch): boolean {
    if (batch.count === 0 || this.#socket.closed) return true;
    if (this.#native === undefined) return this.#sendPortable(batch);
    if (this.#canSegment && this.#resumeAt === 0) {
      const errno = retriedOnce(this.#native, (native) => native.sendBatch(batch));
      if (errno === 0) return true;
      if (wouldBlock.has(errno)) return false;
      if (batch.count === 1) return true;
      // Larger ones may only be too large for this path, since a router said so.
      const isBase = batch.segmentBytes <= quicLimits.datagramBytesBase;
      if (isBase && cannotSegment.has(errno)) this.#canSegment = false;
    }
    return this.#sendOneByOne(batch, this.#native);
  }

  sendWhole(batch: SendBatch): void {
    const native = this.#native;
    if (native === undefined || this.#socket.closed) return;
    native.whole(() => retriedOnce(native, (half) => half.sendOne(batch, 0)));
  }

  close(): void {
    this.#socket.close();
  }

  #sendOneByOne(batch: SendBatch, native: UdpNative): boolean {
    for (let index = this.#resumeAt; index < batch.count; index++) {
      const errno = retriedOnce(native, (half) => half.sendOne(batch, index));
      if (wouldBlock.has(errno)) {
        this.#resumeAt = index;
        return false;
      }
    }
    this.#resumeAt = 0;
    return true;
  }

  #sendPortable(batch: SendBatch): boolean {
    const { host, port } = batch;
    const packets: (Uint8Array | number | string)[] = [];
    for (let index = this.#resumeAt; index < batch.count; index++) {
      packets.push(batch.datagram(index), port, host);
    }
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        this.#resumeAt += this.#socket.sendMany(packets);
        break;
      } catch {
        // Another peer's ICMP error, reported to us; the second try goes out.
      }
    }
    if (this.#resumeAt < batch.count) return false;
    this.#resumeAt = 0;
    return true;
  }
}

/** A pending error of another peer is reported once, on whatever is sent next. */
function retriedOnce(native: UdpNative, send: (native: UdpNative) => number): number {
  const errno = send(native);
  return errno === 0 || wouldBlock.has(errno) ? errno : send(native);
}

function nativeHalf(socket: Socket): UdpNative {
  const family = socket.hostname.includes(":") ? 6 : 4;
  // `fd` is there, but not in the types.
  const fd: unknown = Reflect.get(socket, "fd");
  if (typeof fd !== "number" || fd < 0) throw new Error("Bun's UDP socket hides its descriptor");
  const native = new UdpNative(fd, family);
  // Bun arms these on every socket; then one dead peer makes sends to the others fail.
  native.setOption(levelIp, ipReceiveErrors, 0);
  if (family === 6) native.setOption(levelIpv6, ipv6ReceiveErrors, 0);
  const size = quicLimits.socketBufferBytes;
  for (const [forced, plain] of bufferOptions) {
    if (!native.setOption(levelSocket, forced, size)) native.setOption(levelSocket, plain, size);
  }
  return native;
}

const { EAGAIN, ENOBUFS, EINVAL, EIO, ENOPROTOOPT, EOPNOTSUPP } = constants.errno;
const wouldBlock: ReadonlySet<number> = new Set([EAGAIN, ENOBUFS]);
/** What kernels and drivers that cannot cut datagrams say; all else is about one path at one time. */
const cannotSegment: ReadonlySet<number> = new Set([EINVAL, EIO, ENOPROTOOPT, EOPNOTSUPP]);

const levelUdp = 17;
/** UDP_GRO; kernels before 5.0 do not have it, and go on one by one. */
const udpMergeReceived = 104;
const levelIp = 0;
const ipReceiveErrors = 11;
const levelIpv6 = 41;
const ipv6ReceiveErrors = 25;
const levelSocket = 1;
/** SO_RCVBUFFORCE (root only) and SO_RCVBUF; SO_SNDBUFFORCE and SO_SNDBUF. */
const bufferOptions = [
  [33, 8],
  [32, 7],
] as const;
