import type { SocketAddress } from "../../src/quic/connection.ts";
import type { WebProcess } from "./web-process.ts";

type Upstream = Bun.udp.Socket<"buffer">;

/** Stands in for the relay behind the door of a web process: each connection has a socket to one machine. */
export function bridgeDoor(web: WebProcess, machine: SocketAddress): AsyncDisposable {
  const upstreams = new Map<number, Promise<Upstream>>();
  const open = (connection: number): Promise<Upstream> =>
    Bun.udpSocket({
      hostname: "127.0.0.1",
      binaryType: "buffer",
      socket: { data: (_socket, datagram) => web.answer(connection, datagram) },
    });
  web.onFrame = ({ connection, datagram }) => {
    const upstream = upstreams.get(connection) ?? open(connection);
    upstreams.set(connection, upstream);
    if (datagram.byteLength === 0) upstreams.delete(connection);
    void upstream.then((socket) => {
      if (datagram.byteLength === 0) socket.close();
      else socket.send(datagram, machine.port, machine.host);
    });
  };
  return {
    [Symbol.asyncDispose]: async () => {
      web.onFrame = undefined;
      for (const upstream of upstreams.values()) (await upstream).close();
    },
  };
}
