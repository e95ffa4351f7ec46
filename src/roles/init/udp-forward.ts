import { lookup } from "node:dns/promises";
import { RemoteError } from "../../protocol/errors.ts";
import { type FrameStream, frameTypes } from "../../protocol/frame.ts";
import { encodeJson } from "../../protocol/message.ts";
import { DatagramPipe } from "../../system/datagram-pipe.ts";
import { SocketError } from "../../system/tcp-stream.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";
import { UdpTarget } from "./udp-target.ts";

/** One peer of a client's UDP forward, spoken for by sockets of its own. */
export async function forwardUdp(
  frames: FrameStream,
  target: { readonly host: string; readonly port: number },
): Promise<void> {
  const addresses = await addressesOf(target.host);
  let pipe: DatagramPipe | undefined;
  const socket = await UdpTarget.open(addresses, target.port, (bytes) => {
    pipe?.offer(bytes);
  }).catch((error: unknown) => {
    if (!(error instanceof SocketError)) throw error;
    throw new RemoteError("forward-unreachable", `${target.host} cannot be reached: ${error.code}`);
  });
  try {
    await frames.write(frameTypes.ok, encodeJson({}));
    pipe = new DatagramPipe(frames, initLimits.udpIdleMs);
    await pipe.run((datagram) => socket.send(datagram));
  } finally {
    pipe?.close();
    socket.close();
  }
}

async function addressesOf(host: string): Promise<string[]> {
  const found = await within(
    lookup(host, { all: true }).catch(() => undefined),
    initLimits.forwardConnectMs,
  );
  if (found === late || found === undefined)
    throw new RemoteError("forward-unreachable", `${host} is no name that can be resolved there`);
  const addresses = new Set(found.map(({ address }) => address));
  return [...addresses].slice(0, initLimits.udpAddressesMax);
}
