import type { SocketAddress } from "../../src/quic/connection.ts";
import type { DoorFrame } from "../../src/roles/proxy/door-frame.ts";
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
  const forward = async ({ connection, datagram }: DoorFrame): Promise<void> => {
    const upstream = upstreams.get(connection) ?? open(connection);
    upstreams.set(connection, upstream);
    if (datagram.byteLength > 0) {
      (await upstream).send(datagram, machine.port, machine.host);
    } else {
      upstreams.delete(connection);
      (await upstream).close();
    }
  };
  web.onFrame = (frame) => void forward(frame);
  return {
    [Symbol.asyncDispose]: async () => {
      web.onFrame = undefined;
      for (const upstream of upstreams.values()) (await upstream).close();
    },
  };
}
