import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { ApiError } from "./api-error.ts";
import { localLimits } from "./limits.ts";

/**
 * An address of its own for a machine, out of 127.64.0.0/10. By chance and not by counting, since
 * several fly-locals may run on one computer and none knows of the others.
 */
export async function unusedLoopbackAddress(taken: ReadonlySet<string>): Promise<string> {
  for (let attempt = 0; attempt < localLimits.addressAttemptsMax; attempt += 1) {
    const address = `127.${randomInt(64, 128)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
    if (!taken.has(address) && (await canBind(address))) return address;
  }
  throw new ApiError(422, "no free loopback address found", "insufficient_capacity");
}

async function canBind(address: string): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once("error", () => resolve(false));
      socket.bind({ address, port: 8443, exclusive: true }, () => resolve(true));
    });
  } finally {
    socket.close();
  }
}
