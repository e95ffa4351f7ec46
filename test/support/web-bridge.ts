import type { SocketAddress } from "../../src/quic/connection.ts";

type Upstream = Bun.udp.Socket<"buffer">;

interface Bridged {
  upstream: Upstream | undefined;
  readonly waiting: Uint8Array[];
}

/** A proxy's WebSocket as far as a client sees it: every connection has a UDP socket to one machine. */
export class WebBridge implements AsyncDisposable {
  /** WebSockets that were opened so far. */
  opened = 0;
  refused = 0;
  /** Answers instead of opening any more. */
  refusesWith: number | undefined;
  /** Sees what a client sends; true when it must not go on. An answer goes to `reply`. */
  onDatagram: ((datagram: Uint8Array, reply: (bytes: Uint8Array) => void) => boolean) | undefined;
  readonly #server: Bun.Server<Bridged>;
  readonly #sockets = new Set<Bun.ServerWebSocket<Bridged>>();
  readonly #machine: SocketAddress;

  constructor(machine: SocketAddress) {
    this.#machine = machine;
    this.#server = Bun.serve<Bridged>({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => {
        if (this.refusesWith !== undefined) {
          this.refused += 1;
          return new Response("refused", { status: this.refusesWith });
        }
        const isUpgraded = server.upgrade(request, { data: { upstream: undefined, waiting: [] } });
        return isUpgraded ? undefined : new Response("no WebSocket", { status: 426 });
      },
      websocket: {
        open: (socket) => void this.#open(socket),
        message: (socket, message) => {
          if (typeof message !== "string") this.#forward(socket, message);
        },
        close: (socket) => {
          this.#sockets.delete(socket);
          socket.data.upstream?.close();
        },
      },
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#server.port}/v1/datagrams`;
  }

  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** As a proxy that goes, or a network that breaks. */
  closeAll(code: number): void {
    for (const socket of this.#sockets) socket.close(code, "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #open(socket: Bun.ServerWebSocket<Bridged>): Promise<void> {
    this.opened += 1;
    this.#sockets.add(socket);
    socket.binaryType = "uint8array";
    const upstream = await Bun.udpSocket({
      hostname: "127.0.0.1",
      binaryType: "buffer",
      socket: { data: (_socket, datagram) => void socket.sendBinary(datagram) },
    });
    if (!this.#sockets.has(socket)) {
      upstream.close();
      return;
    }
    socket.data.upstream = upstream;
    for (const datagram of socket.data.waiting.splice(0)) this.#forward(socket, datagram);
  }

  #forward(socket: Bun.ServerWebSocket<Bridged>, datagram: Uint8Array): void {
    if (this.onDatagram?.(datagram, (bytes) => void socket.sendBinary(bytes)) === true) return;
    const { upstream, waiting } = socket.data;
    if (upstream === undefined) waiting.push(datagram.slice());
    else upstream.send(datagram, this.#machine.port, this.#machine.host);
  }
}
