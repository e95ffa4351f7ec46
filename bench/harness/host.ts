import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

export interface Host {
  readonly text: string;
  /** Of the last 1, 5 and 15 minutes: what else was going on. */
  readonly load: string;
}

/** This machine, as far as it decides about figures. */
export function describeHost(): Host {
  const all = cpus();
  const memory = (totalmem() / 1024 ** 3).toFixed(0);
  const processor = `${all.length} × ${all[0]?.model.trim() ?? "unknown"}`;
  return {
    text: `${processor}, ${memory} GiB; Linux ${release()}, Bun ${Bun.version}, TCP with ${congestionControl()}`,
    load: readFileSync("/proc/loadavg", "latin1").split(" ").slice(0, 3).join(" "),
  };
}

function congestionControl(): string {
  return readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "latin1").trim();
}
