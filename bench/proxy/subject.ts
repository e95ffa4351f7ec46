import { readFileSync } from "node:fs";

/** Something that carries datagrams from clients to one backend. */
export interface Subject {
  readonly name: string;
  readonly address: { readonly host: string; readonly port: number };
  /** Of all its processes so far. */
  cpuSeconds(): number;
  residentBytes(): number;
  close(): Promise<void>;
}

export const backend = { host: "127.9.0.1", port: 40_900 } as const;

/** On a processor of its own, where there are two; the load has the other. */
export function pinned(cpu: number): readonly string[] {
  return navigator.hardwareConcurrency > 1 ? ["taskset", "-c", String(cpu)] : [];
}

export function cpuSecondsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return 0;
  }
}

export function residentBytesOf(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
    return Number(match?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  } catch {
    return [];
  }
}
