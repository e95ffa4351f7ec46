/** A UDP socket of a test, with what it received in order. */
export class UdpPeer {
  readonly host: string;
  readonly port: number;
  readonly #socket: Bun.udp.Socket<"buffer">;
  readonly #arrived: Arrived[] = [];
  #wake: (() => void) | undefined;

  static async open(host: string, port = 0): Promise<UdpPeer> {
    const receive = { arrived: (_message: Arrived): void => undefined };
    const socket = await Bun.udpSocket({
      hostname: host,
      port,
      binaryType: "buffer",
      socket: {
        data: (_socket, data, fromPort, fromHost) =>
          receive.arrived({ bytes: new Uint8Array(data), port: fromPort, host: fromHost }),
        error: () => undefined,
      },
    });
    const peer = new UdpPeer(socket);
    receive.arrived = (message) => {
      peer.#arrived.push(message);
      peer.#wake?.();
    };
    return peer;
  }

  private constructor(socket: Bun.udp.Socket<"buffer">) {
    this.#socket = socket;
    this.host = socket.hostname;
    this.port = socket.port;
  }

  send(bytes: Uint8Array, to: { readonly host: string; readonly port: number }): void {
    this.#socket.send(bytes, to.port, to.host);
  }

  /** All in one call: they may travel as one. */
  sendMany(datagrams: readonly Uint8Array[], to: { readonly host: string; readonly port: number }) {
    this.#socket.sendMany(datagrams.flatMap((bytes) => [bytes, to.port, to.host]));
  }

  /** The next one, waited for as long as the test may take. */
  async next(): Promise<Arrived> {
    for (;;) {
      const first = this.#arrived.shift();
      if (first !== undefined) return first;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** How many have come and were not taken. */
  get waiting(): number {
    return this.#arrived.length;
  }

  close(): void {
    this.#socket.close();
  }
}

export interface Arrived {
  readonly bytes: Uint8Array;
  readonly host: string;
  readonly port: number;
}
