import type { udp } from "bun";
import { SocketError } from "./tcp-stream.ts";

export type UdpSocket = udp.Socket<"uint8array">;
export type ConnectedUdpSocket = udp.ConnectedSocket<"uint8array">;

/** Called for every datagram; the bytes are good until it returns. */
type Received<Socket> = (socket: Socket, bytes: Uint8Array, port: number, host: string) => void;

/** Rejects with `SocketError`. Port 0: the system chooses. */
export async function listenUdp(
  at: { readonly host: string; readonly port: number },
  received: Received<UdpSocket>,
): Promise<UdpSocket> {
  return opened(async () =>
    Bun.udpSocket({
      hostname: at.host,
      port: at.port,
      binaryType: "uint8array",
      socket: { data: received, error: lost },
    }),
  );
}

/**
 * To a numeric address; nobody else's datagrams come in. `refused` is told that one was lost. Rejects with
 * `SocketError`.
 */
export async function connectUdp(
  to: { readonly host: string; readonly port: number },
  received: Received<ConnectedUdpSocket>,
  refused: () => void = lost,
): Promise<ConnectedUdpSocket> {
  return opened(async () =>
    Bun.udpSocket({
      // Of the same family: Bun would take IPv4.
      hostname: to.host.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: to.host, port: to.port },
      binaryType: "uint8array",
      socket: { data: received, error: () => refused() },
    }),
  );
}

/** Nobody listens there right now, or a datagram was too long for its way: UDP has no answer to either. */
function lost(): void {}

/** Bun throws some errors, and rejects with others. */
async function opened<Socket>(open: () => Promise<Socket>): Promise<Socket> {
  try {
    return await open();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
    throw new SocketError(code, `No UDP socket: ${code}`);
  }
}
