import type { Connection } from "../../src/quic/connection.ts";
import { Endpoint, type EndpointOptions } from "../../src/quic/endpoint.ts";
import { childEnv } from "../../src/system/child-env.ts";
import { ask, childCpuSeconds, type Direction, ownCpuSeconds, type Subject } from "./subject.ts";

export type Variant = Pick<EndpointOptions, "datagramBytesMax" | "congestionControl">;

/** Our driver, against a server in a process of its own. */
export async function openOurs(name: string, variant: Variant): Promise<Subject> {
  const server = await startPeer("ours", variant);
  const client = await Endpoint.open({ bind: { host: "127.0.0.1", port: 0 }, ...variant });
  let connection: Connection | undefined;
  return {
    name,
    megabytes: 256,
    connect: async () => {
      connection?.close(0, "again");
      connection = await client.connect({ host: "127.0.0.1", port: server.port });
    },
    transfer: async (direction: Direction, streams: number, bytes: number) => {
      await Promise.all(
        Array.from({ length: streams }, async () => {
          const stream = await connection?.openStream();
          if (stream !== undefined) await ask(stream, direction, bytes);
        }),
      );
    },
    cpuSeconds: () => ownCpuSeconds() + server.cpuSeconds(),
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await server.stop();
    },
  };
}

export interface Peer {
  readonly port: number;
  cpuSeconds(): number;
  stop(): Promise<void>;
}

/** The far end: `peer.ts` in a child, which prints its port and, when asked, its CPU time. */
export async function startPeer(kind: "ours" | "package", variant: Variant): Promise<Peer> {
  const script = new URL("peer.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, kind, JSON.stringify(variant)], {
    env: childEnv(process.env),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const port = Number(Buffer.from(value ?? []).toString());
  return {
    port,
    cpuSeconds: () => childCpuSeconds(child.pid),
    stop: async () => {
      child.kill();
      await child.exited;
    },
  };
}
