/**
 * In a network of its own, where one way is slow, has small packets and no IPv6: what a relay makes of that.
 * Writes what it counted as a line of JSON.
 */
import { readFileSync, writeSync } from "node:fs";
import { bareDatagram, SocketStage } from "./socket-stage.ts";

const slow = "148e21ea7e46e8";
const distant = "148e21ea7e46e9";
const modern = "148e21ea7e46ea";
await using stage = SocketStage.start({ backendPort: 40_000 });
const proxy = await stage.address();
const client = await stage.peer("127.0.0.1");
stage.learn(
  { kind: "machine", machineId: slow, state: "started", address: "10.9.0.2" },
  { kind: "machine", machineId: distant, state: "started", address: "198.51.100.1" },
  { kind: "machine", machineId: modern, state: "started", address: "fdaa::3" },
  { kind: "synced" },
);
await stage.metrics(({ gauges }) => gauges["machines"] === 3);
for (const machineId of [distant, modern]) client.send(bareDatagram(machineId, 100), proxy);
client.send(bareDatagram(slow, 1400), proxy);
const sent = 600;
for (let count = 0; count < sent; count += 50)
  client.sendMany(
    Array.from({ length: 50 }, () => bareDatagram(slow, 1200)),
    proxy,
  );
// On a busy machine the relay's own socket loses some, which nobody counts: until no more come.
let arrived = 0;
let lastMs = performance.now();
const full = await stage.metrics(({ counters }) => {
  const count = Number(counters["datagrams_from_clients_total"]);
  if (count !== arrived) lastMs = performance.now();
  arrived = count;
  return arrived > 3 && performance.now() - lastMs > 500;
});
/** What is not lost leaves in the end, at the speed of the way. */
const left = arrived - 3 - (full.drops["machine-blocked"] ?? 0);
const giveUpMs = performance.now() + 60_000;
const empty = await stage.metrics(
  ({ gauges }) =>
    (gauges["upstream_queued_bytes"] === 0 && transmitted() >= left) ||
    performance.now() > giveUpMs,
);
writeSync(1, JSON.stringify({ sent, full, empty, left, transmitted: transmitted() }));

function transmitted(): number {
  const line = /^ *left:(.*)$/m.exec(readFileSync("/proc/net/dev", "latin1"))?.[1] ?? "";
  return Number(line.trim().split(/\s+/)[9]);
}
