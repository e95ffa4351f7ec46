import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { connectTcp, connectUnix, listenTcp, listenUnix } from "../../src/system/tcp-stream.ts";
import { byteStreamContract, type StreamPair } from "../support/byte-stream-contract.ts";

/** Kernel buffers of both ends count into what a writer can be ahead. */
const bufferBytesMax = 16 * 1024 * 1024;

byteStreamContract("a TCP socket", openTcpPair, { bufferBytesMax, abortReadsAs: "reset" });
byteStreamContract("a Unix socket", openUnixPair, { bufferBytesMax, abortReadsAs: "end" });

async function openTcpPair(): Promise<StreamPair> {
  const { promise, resolve } = Promise.withResolvers<ByteStream>();
  const listening = listenTcp({ host: "127.0.0.1", port: 0 }, { onConnection: resolve });
  const near = await connectTcp({ host: "127.0.0.1", port: listening.port });
  const far = await promise;
  listening.close();
  return { near, far };
}

async function openUnixPair(): Promise<StreamPair> {
  const folder = mkdtempSync(join(tmpdir(), "fly-vault-"));
  const path = join(folder, "socket");
  const { promise, resolve } = Promise.withResolvers<ByteStream>();
  const listening = listenUnix(path, { onConnection: resolve });
  const near = await connectUnix(path);
  const far = await promise;
  listening.close();
  rmSync(folder, { recursive: true });
  return { near, far };
}
