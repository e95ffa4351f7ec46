import * as v from "valibot";
import { StreamError } from "../../../protocol/byte-stream.ts";
import { WireError } from "../../../protocol/errors.ts";
import { FrameStream, frameTypes } from "../../../protocol/frame.ts";
import { decodeError, decodeJson, request } from "../../../protocol/message.ts";
import { type ListeningPort, portsSchema } from "../../../protocol/ports-message.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink, LinkConnection } from "../link/attested-link.ts";
import { overLink } from "../link/over-link.ts";

/** What the vault listens on, now and at each change, over every new connection. Rejects with what ends it. */
export async function followPorts(
  link: AttestedLink,
  session: string | undefined,
  onPorts: (ports: readonly ListeningPort[]) => void,
): Promise<never> {
  return overLink(link, async (connection) => {
    for await (const ports of portLists(connection, session)) onPorts(ports);
    throw new StreamError("connection-lost", "The list of ports ended");
  });
}

/** What the vault listens on now. */
export async function listPorts(link: AttestedLink): Promise<readonly ListeningPort[]> {
  return overLink(link, async (connection) => {
    for await (const ports of portLists(connection, undefined)) return ports;
    throw new StreamError("connection-lost", "The list of ports ended");
  });
}

async function* portLists(
  connection: LinkConnection,
  session: string | undefined,
): AsyncGenerator<readonly ListeningPort[]> {
  const frames = new FrameStream(await connection.openStream());
  try {
    const wish = { type: "ports", ...(session === undefined ? {} : { session }) } as const;
    await answer(request(frames, wish, v.object({})));
    for (;;) {
      const frame = await frames.read();
      if (frame === null) return;
      if (frame.type === frameTypes.error) throw decodeError(frame.payload);
      if (frame.type !== frameTypes.ports) throw new WireError("Not a list of ports");
      yield decodeJson(portsSchema, frame.payload, "Ports").ports;
    }
  } finally {
    frames.stream.abort(0);
  }
}
