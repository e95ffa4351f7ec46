/**
 * Run as a child of relay.test.ts: bytes both ways over a bad link, in a process of its own, because
 * its resident memory is measured. Prints by how much that grew, as JSON.
 */
import { seed } from "../support/seed.ts";
import { type LinkOptions, UdpRelay } from "../support/udp-relay.ts";
import { openPair } from "./pair.ts";
import { exchange } from "./transfer.ts";

export interface BulkTask {
  readonly sizeBytes: number;
  readonly link: LinkOptions;
  /** As a fault would: nothing that arrives is let go. */
  readonly keep: boolean;
}

const task = JSON.parse(process.argv[2] ?? "") as BulkTask;
const kept: Uint8Array[] = [];
const keep = task.keep ? (part: Uint8Array): unknown => kept.push(part) : undefined;
const opened: UdpRelay[] = [];
const pair = await openPair({
  through: async (server) => {
    const relay = await UdpRelay.open(server, { seed, ...task.link });
    opened.push(relay);
    return relay.address;
  },
});

await exchange(pair, 2 * 1024 * 1024, seed, keep);
Bun.gc(true);
const startBytes = process.memoryUsage.rss();
let highestBytes = startBytes;
const timer = setInterval(() => {
  highestBytes = Math.max(highestBytes, process.memoryUsage.rss());
}, 50);
await exchange(pair, task.sizeBytes, seed, keep);
highestBytes = Math.max(highestBytes, process.memoryUsage.rss());
clearInterval(timer);

await pair[Symbol.asyncDispose]();
for (const relay of opened) await relay[Symbol.asyncDispose]();
console.log(JSON.stringify({ growthBytes: highestBytes - startBytes, kept: kept.length }));
