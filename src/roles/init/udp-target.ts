import { type ConnectedUdpSocket, connectUdp } from "../../system/udp-socket.ts";
import { SocketError } from "../../system/tcp-stream.ts";
import { initLimits } from "./limits.ts";

/**
 * A port at all addresses of a name, by a socket for each: what is refused at one goes to the next, until
 * one has answered. So a service that listens on 127.0.0.1 alone is found where localhost is ::1 first,
 * as by TCP.
 */
export class UdpTarget {
  readonly #nowMs: () => number;
  readonly #sockets: ConnectedUdpSocket[] = [];
  #at = 0;
  /** Another server would know nothing of what passed: from now on what is refused is lost. */
  #isAnswered = false;
  /** What was sent last, for the next address. */
  #unanswered: Unanswered[] = [];
  #refusals = 0;

  /** Rejects with `SocketError` where no address can be had. */
  static async open(
    addresses: readonly string[],
    port: number,
    received: (bytes: Uint8Array) => void,
    nowMs: () => number = () => performance.now(),
  ): Promise<UdpTarget> {
    const target = new UdpTarget(nowMs);
    let failure = new SocketError("EADDRNOTAVAIL", "No address");
    for (const host of addresses)
      try {
        await target.#add({ host, port }, received);
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        failure = error;
      }
    if (target.#sockets.length === 0) throw failure;
    return target;
  }

  private constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  send(datagram: Uint8Array): void {
    this.#refusals = 0;
    const isUnsure = this.#sockets.length > 1 && !this.#isAnswered;
    if (isUnsure && datagram.length <= initLimits.udpUnansweredBytesMax) this.#keep(datagram);
    this.#transmit(datagram);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  async #add(
    at: { readonly host: string; readonly port: number },
    received: (bytes: Uint8Array) => void,
  ): Promise<void> {
    const index = this.#sockets.length;
    const answered = (_socket: ConnectedUdpSocket, bytes: Uint8Array): void => {
      if (!this.#isAnswered) this.#stayAt(index);
      received(bytes);
    };
    this.#sockets.push(await connectUdp(at, answered, () => this.#refused(index)));
  }

  #stayAt(index: number): void {
    this.#at = index;
    this.#isAnswered = true;
    this.#unanswered = [];
  }

  #refused(index: number): void {
    // Each of several may be refused; the first has led on already.
    if (this.#isAnswered || index !== this.#at) return;
    this.#at = (index + 1) % this.#sockets.length;
    this.#refusals += 1;
    if (this.#refusals >= this.#sockets.length) this.#unanswered = [];
    const sinceMs = this.#nowMs() - initLimits.udpUnansweredMs;
    this.#unanswered = this.#unanswered.filter(({ sentMs }) => sentMs >= sinceMs);
    for (const { datagram } of this.#unanswered) this.#transmit(datagram);
  }

  #keep(datagram: Uint8Array): void {
    if (this.#unanswered.length >= initLimits.udpUnansweredMax) this.#unanswered.shift();
    this.#unanswered.push({ datagram: datagram.slice(), sentMs: this.#nowMs() });
  }

  #transmit(datagram: Uint8Array): void {
    try {
      this.#sockets[this.#at]?.send(datagram);
    } catch {
      // Too long for this way, or refused: lost, as datagrams are.
    }
  }
}

interface Unanswered {
  readonly datagram: Uint8Array;
  readonly sentMs: number;
}
