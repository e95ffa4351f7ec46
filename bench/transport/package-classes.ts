import { createHmac, randomFillSync, timingSafeEqual } from "node:crypto";
import { events, QUICClient, QUICServer, type QUICStream } from "@matrixai/quic";
import Logger, { LogLevel } from "@matrixai/logger";
import { startPeer } from "./ours.ts";
import { ask, ownCpuSeconds, serve, type Subject } from "./subject.ts";

/** The package's own QUICClient and QUICServer, for comparison. */
export async function openPackage(): Promise<Subject> {
  const server = await startPeer("package", {});
  let client: QUICClient | undefined;
  return {
    name: "@matrixai/quic classes",
    megabytes: 16,
    connect: async () => {
      await client?.destroy({ force: true });
      client = await QUICClient.createQUICClient({
        host: "127.0.0.1",
        port: server.port,
        localHost: "127.0.0.1",
        crypto: { ops: { randomBytes: fill } },
        config: { verifyPeer: false },
        logger,
      });
    },
    transfer: async (direction, streams, bytes) => {
      await Promise.all(
        Array.from({ length: streams }, async () => {
          const stream = client?.connection.newStream();
          if (stream !== undefined) await ask(adapted(stream), direction, bytes);
        }),
      );
    },
    cpuSeconds: () => ownCpuSeconds() + server.cpuSeconds(),
    [Symbol.asyncDispose]: async () => {
      await client?.destroy({ force: true });
      await server.stop();
    },
  };
}

export async function servePackage(key: string, cert: string): Promise<number> {
  const secret = crypto.getRandomValues(new Uint8Array(32)).buffer;
  const server = new QUICServer({
    crypto: {
      key: secret,
      ops: {
        sign: async (signKey, data) => {
          const mac = createHmac("sha256", Buffer.from(signKey)).update(Buffer.from(data)).digest();
          return new Uint8Array(mac).buffer;
        },
        verify: async (signKey, data, signature) => {
          const mac = createHmac("sha256", Buffer.from(signKey)).update(Buffer.from(data)).digest();
          return timingSafeEqual(mac, Buffer.from(signature));
        },
      },
    },
    config: { key, cert, verifyPeer: false },
    logger,
  });
  server.addEventListener(events.EventQUICServerConnection.name, (event: Event) => {
    const { detail: connection } = event as InstanceType<typeof events.EventQUICServerConnection>;
    connection.addEventListener(events.EventQUICConnectionStream.name, (opened: Event) => {
      const { detail } = opened as InstanceType<typeof events.EventQUICConnectionStream>;
      void serve(adapted(detail)).catch(() => undefined);
    });
  });
  await server.start({ host: "127.0.0.1", port: 0 });
  return server.port;
}

function adapted(stream: QUICStream): Parameters<typeof serve>[0] {
  const reader = stream.readable.getReader();
  const writer = stream.writable.getWriter();
  return {
    read: async () => (await reader.read()).value ?? null,
    write: (bytes) => writer.write(bytes),
    end: () => writer.close(),
  };
}

async function fill(data: ArrayBuffer): Promise<void> {
  randomFillSync(new Uint8Array(data));
}

const logger = new Logger("bench", LogLevel.SILENT);
