import { bindSocket, closeSocket, openDatagramSocket } from "../../src/system/datagram-socket.ts";

const [first, end] = [10_000, 32_768];
/** Room enough that test processes with neighbouring pids, which run side by side, never meet. */
const perProcess = 2000;
let next = first + ((process.pid * perProcess) % (end - perProcess - first));

/**
 * A port that nobody has, TCP or UDP, given out once. It lies below those that the system gives away
 * (ip_local_port_range), so that neither a later `port: 0` nor an outgoing connection takes it.
 */
export function freePort(): number {
  for (;;) {
    const port = next;
    next = port + 1 < end ? port + 1 : first;
    if (isFree(port)) return port;
  }
}

function isFree(port: number): boolean {
  const datagrams = openDatagramSocket(4);
  try {
    bindSocket(datagrams, { host: "0.0.0.0", port });
    Bun.listen({ hostname: "0.0.0.0", port, socket: { data: () => {} } }).stop(true);
    return true;
  } catch {
    return false;
  } finally {
    closeSocket(datagrams);
  }
}
