import { readFileSync } from "node:fs";

/** Whether whoever started this process had SIGHUP ignored, as `nohup` does. Where there is no /proc: false. */
export function isHangupIgnored(): boolean {
  try {
    const status = readFileSync("/proc/self/status", "latin1");
    const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
    return (BigInt(`0x${ignored}`) & hangup) !== 0n;
  } catch {
    return false;
  }
}

/** The bit of signal 1. */
const hangup = 1n;
