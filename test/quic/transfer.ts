import { createHash } from "node:crypto";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { seededRandom } from "../support/seed.ts";
import type { Pair } from "./pair.ts";

/** Sends `totalBytes` of seeded noise and gives their SHA-256. */
export async function sendNoise(
  stream: ByteStream,
  totalBytes: number,
  seed: number,
): Promise<string> {
  const hash = createHash("sha256");
  const random = seededRandom(seed);
  const block = new Uint32Array(16_384).map(() => random() * 2 ** 32);
  const bytes = new Uint8Array(block.buffer);
  for (let sent = 0; sent < totalBytes; sent += bytes.byteLength) {
    // Every chunk differs, so that a repeated or swapped one shows.
    block[0] = sent;
    const part = bytes.slice(0, Math.min(bytes.byteLength, totalBytes - sent));
    hash.update(part);
    await stream.write(part);
  }
  await stream.end();
  return hash.digest("hex");
}

export async function receiveAll(
  stream: ByteStream,
  see: (part: Uint8Array) => unknown = () => undefined,
): Promise<{ readonly hash: string; readonly totalBytes: number }> {
  const hash = createHash("sha256");
  let totalBytes = 0;
  for (let part = await stream.read(); part !== null; part = await stream.read()) {
    see(part);
    hash.update(part);
    totalBytes += part.byteLength;
  }
  return { hash: hash.digest("hex"), totalBytes };
}

/** The same amount both ways at once on one stream; throws unless all hashes agree. `see` is shown each part. */
export async function exchange(
  pair: Pair,
  totalBytes: number,
  seed: number,
  see?: (part: Uint8Array) => unknown,
): Promise<void> {
  const near = await pair.near.openStream();
  const upward = sendNoise(near, totalBytes, seed);
  const far = await pair.far.acceptStream();
  if (far === null) throw new Error("The connection ended");
  const [sentUp, sentDown, up, down] = await Promise.all([
    upward,
    sendNoise(far, totalBytes, seed + 1),
    receiveAll(far, see),
    receiveAll(near, see),
  ]);
  if (up.hash !== sentUp) throw new Error(`Upward bytes differ (${up.totalBytes} arrived)`);
  if (down.hash !== sentDown) throw new Error(`Downward bytes differ (${down.totalBytes} arrived)`);
}
