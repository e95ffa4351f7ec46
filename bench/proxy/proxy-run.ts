import { readFileSync } from "node:fs";
import type { DatagramAddress } from "../../src/system/datagram-socket.ts";
import { LoadProcess } from "./load-process.ts";
import type { Subject } from "./subject.ts";

/** A type, so that it is a record of metrics as well. */
export type ProxyRun = {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly flowBytes: number;
  readonly kernelFlowBytes: number;
};

/** As `load.ts` opens before memory is looked at, so that what the program itself takes is there. */
const warmFlows = 64;

/** Through a proxy, or without one straight to the backend. */
export async function measureProxy(
  target: DatagramAddress,
  subject: Subject | null,
  { flows, seconds }: { readonly flows: number; readonly seconds: number },
): Promise<ProxyRun> {
  await using load = new LoadProcess({ target, flows, seconds });
  await load.next();
  const before = [subject?.residentBytes() ?? 0, kernelBytes()] as const;
  await load.next();
  const after = [subject?.residentBytes() ?? 0, kernelBytes()] as const;
  const cpu = subject?.cpuSeconds() ?? 0;
  const { perSecond = 0, arrived = 1 } = await load.next();
  const cpuUs = (((subject?.cpuSeconds() ?? 0) - cpu) / arrived) * 1e6;
  const { p50 = 0, p99 = 0 } = await load.next();
  return {
    perSecond,
    cpuUs,
    p50Us: p50,
    p99Us: p99,
    flowBytes: (after[0] - before[0]) / (flows - warmFlows),
    kernelFlowBytes: (after[1] - before[1]) / (flows - warmFlows),
  };
}

/** What the kernel has for sockets and what hangs on them, of the whole machine. */
function kernelBytes(): number {
  const names = /^(UDP|sock_inode_cache|filp|eventpoll_epi|eventpoll_pwq|dentry) /;
  return readFileSync("/proc/slabinfo", "latin1")
    .split("\n")
    .filter((line) => names.test(line))
    .map((line) => line.split(/\s+/).map(Number))
    .reduce((sum, [, active = 0, , objectBytes = 0]) => sum + active * objectBytes, 0);
}
