import { StreamError } from "../../../protocol/byte-stream.ts";
import { ProtocolError } from "../../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { limits } from "../../../protocol/limits.ts";
import { encodeJson } from "../../../protocol/message.ts";
import type { ListeningPort } from "../../../protocol/ports-message.ts";
import { printableLine } from "../../../protocol/printable-line.ts";
import { Wake } from "../wake.ts";
import type { GuestSocket } from "./guest-ports.ts";
import type { PortWatch } from "./port-watch.ts";

/**
 * Serves `ports`: the list at once and at each change, the newest where the client reads slowly, until
 * it leaves. `sessionPid` is the number outside of the session that it asked about.
 */
export async function servePorts(
  frames: FrameStream,
  watch: PortWatch,
  sessionPid: () => number | undefined,
): Promise<void> {
  const wake = new Wake();
  let fresh: readonly GuestSocket[] | undefined;
  let said = "";
  let leaving: Leaving | undefined;
  const stop = watch.watch((sockets) => {
    fresh = sockets;
    wake.notify();
  });
  const follow = async (): Promise<void> => {
    leaving = await untilLeft(frames);
    wake.notify();
  };
  void follow();
  try {
    await frames.write(frameTypes.ok, encodeJson({}));
    for (;;) {
      await wake.wait();
      if (leaving !== undefined) break;
      if (fresh === undefined) continue;
      const list = JSON.stringify({ ports: describePorts(fresh, sessionPid()) });
      fresh = undefined;
      if (list !== said) await frames.write(frameTypes.ports, Buffer.from(list));
      said = list;
    }
  } finally {
    stop();
  }
  if (leaving === "violation") throw new ProtocolError("A frame after the request");
}

/** One line for each port, by number: of several sockets the one that most can reach. */
export function describePorts(
  sockets: readonly GuestSocket[],
  sessionPid: number | undefined,
): ListeningPort[] {
  const byPort = new Map<number, GuestSocket>();
  for (const socket of sockets) {
    const other = byPort.get(socket.port);
    if (other === undefined || reach(socket.host) < reach(other.host))
      byPort.set(socket.port, socket);
  }
  return [...byPort.values()]
    .toSorted((a, b) => a.port - b.port)
    .slice(0, limits.portsMax)
    .map((socket) => describePort(socket, sessionPid));
}

function describePort(
  { port, host, owner }: GuestSocket,
  sessionPid: number | undefined,
): ListeningPort {
  const process = printableLine(owner.process, limits.nameBytesMax);
  const isOurs = sessionPid !== undefined && owner.ancestors.includes(sessionPid);
  const told = { port, host, process, pid: owner.insidePid };
  return isOurs ? { ...told, in_session: true } : told;
}

function reach(host: string): number {
  if (host === "0.0.0.0" || host === "::") return 0;
  if (host.startsWith("127.")) return 1;
  return host === "::1" ? 2 : 3;
}

type Leaving = "left" | "violation";

/** Never rejects. */
async function untilLeft(frames: FrameStream): Promise<Leaving> {
  try {
    return (await frames.read()) === null ? "left" : "violation";
  } catch (error) {
    return error instanceof StreamError ? "left" : "violation";
  }
}
