import { lookup } from "node:dns/promises";
import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson } from "../../protocol/message.ts";
import { DatagramPipe } from "../../system/datagram-pipe.ts";
import { SocketError } from "../../system/tcp-stream.ts";
import { connectUdp } from "../../system/udp-socket.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";

/** One peer of a client's UDP forward, spoken for by a socket of its own. */
export async function forwardUdp(
  frames: FrameStream,
  target: { readonly host: string; readonly port: number },
): Promise<void> {
  const address = await addressOf(target.host);
  let pipe: DatagramPipe | undefined;
  const socket = await connectUdp({ host: address, port: target.port }, (_socket, bytes) => {
    pipe?.offer(bytes);
  }).catch((error: unknown) => {
    if (!(error instanceof SocketError)) throw error;
    throw new RemoteError("forward-unreachable", `${target.host} cannot be reached: ${error.code}`);
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
