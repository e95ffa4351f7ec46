import { afterAll } from "bun:test";
import { byteStreamContract, type StreamPair } from "../support/byte-stream-contract.ts";
import { openPair } from "./pair.ts";

const pair = await openPair();

afterAll(async () => {
  await pair[Symbol.asyncDispose]();
});

byteStreamContract("a QUIC stream", openStreams, {
  bufferBytesMax: 32 * 1024 * 1024,
  abortReadsAs: "code",
});

/** The peer learns of a stream by its first byte. */
async function openStreams(): Promise<StreamPair> {
  const near = await pair.near.openStream();
  await near.write(Uint8Array.of(0));
  const far = await pair.far.acceptStream();
  if (far === null) throw new Error("The connection is over");
  await far.read();
  return { near, far };
}
