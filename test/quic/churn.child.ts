/**
 * Run as a child of endpoint.test.ts: 1000 connections, one after the other, in a process of its own,
 * because its descriptors are counted. Prints how each ended and how many descriptors there were.
 */
import { readdirSync } from "node:fs";
import { openClient, openServer } from "./pair.ts";

const server = await openServer();
const client = await openClient();
const ends = new Set<string>();
let mostDescriptors = 0;
for (let count = 0; count < 1000; count++) {
  const [near, far] = await Promise.all([client.connect(server.address), server.accept()]);
  near.close(0, "at once");
  ends.add(JSON.stringify(await far?.closed));
  mostDescriptors = Math.max(mostDescriptors, readdirSync("/proc/self/fd").length);
}
await client.close();
await server.close();
console.log(JSON.stringify({ ends: [...ends], mostDescriptors }));
