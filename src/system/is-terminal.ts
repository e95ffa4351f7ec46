import { fstatSync } from "node:fs";

/**
 * What `process.stdin.isTTY` and its like say. A file, a pipe or `/dev/null` is told without them: to make
 * one of those streams loads Bun's networking, two milliseconds of every command.
 */
export function isTerminal(fd: 0 | 1 | 2): boolean {
  return mayBeTerminal(fd) && standardStream(fd).isTTY;
}

/** False where the kernel alone can say that it is none. */
export function mayBeTerminal(fd: 0 | 1 | 2): boolean {
  try {
    const stat = fstatSync(fd);
    const isMemory = process.platform === "linux" && majorOf(stat.rdev) === memoryDevices;
    return stat.isCharacterDevice() && !isMemory;
  } catch {
    // Closed.
    return false;
  }
}

function standardStream(fd: 0 | 1 | 2): { readonly isTTY: boolean } {
  if (fd === 0) return process.stdin;
  return fd === 1 ? process.stdout : process.stderr;
}

/** The lower half of Linux's numbers for devices, which is all that was given out. */
function majorOf(device: number): number {
  return (device >> 8) & 0xfff;
}

/** `/dev/null`, `/dev/zero` and theirs. */
const memoryDevices = 1;
