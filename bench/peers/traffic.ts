import { readFileSync } from "node:fs";

/** Megabytes that went over loopback of this sandbox so far, headers and both directions included. */
export function loopbackMb(): number {
  const line = readFileSync("/proc/self/net/dev", "latin1")
    .split("\n")
    .find((text) => text.trim().startsWith("lo:"));
  return Number(line?.trim().split(/\s+/)[1] ?? 0) / 1e6;
}
