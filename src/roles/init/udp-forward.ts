import { lookup } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson } from "../../protocol/message.ts";
import { DatagramPipe } from "../../system/datagram-pipe.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";

/** One peer of a client's UDP forward, spoken for by a socket of its own. */
export async function forwardUdp(
  frames: FrameStream,
  target: { readonly host: string; readonly port: number },
): Promise<void> {
  const address = await addressOf(target.host);
  let pipe: DatagramPipe | undefined;
  const socket = await Bun.udpSocket({
    hostname: isIPv6(address) ? "::" : "0.0.0.0",
    connect: { hostname: address, port: target.port },
    socket: {
      data: (_socket, bytes) => {
        pipe?.offer(bytes);
      },
      // Nobody listens right now, or what was sent is too long: UDP has no answer to either.
      error: () => undefined,
    },
  }).catch((error: unknown) => {
    const code = error instanceof Error && "code" in error ? String(error.code) : "EIO";
    throw new RemoteError("forward-unreachable", `${target.host} cannot be reached: ${code}`);
  });
  try {
    await frames.write(frameTypes.ok, encodeJson({}));
    pipe = new DatagramPipe(frames, initLimits.udpIdleMs);
    await pipe.run((datagram) => {
      try {
        socket.send(datagram);
      } catch {
        // Too long for this way, or refused: lost, as datagrams are.
      }
    });
  } finally {
    pipe?.close();
    socket.close();
  }
}

async function addressOf(host: string): Promise<string> {
  const found = await within(
    lookup(host).catch(() => undefined),
    initLimits.forwardConnectMs,
  );
  if (found !== late && found !== undefined) return found.address;
  throw new RemoteError("forward-unreachable", `${host} is no name that can be resolved there`);
}
