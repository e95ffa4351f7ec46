import { constants, fstatSync, openSync, writeSync } from "node:fs";
import type { OutputStream } from "./context.ts";
import { outputFailure } from "./output-failure.ts";

/**
 * A file, or a pipe for as long as it has room: written by system calls alone. To make Bun's stream costs
 * more than most commands have to say; the first time that a pipe is full `slow` takes over for good.
 */
export function directOutput(fd: 1 | 2, slow: () => OutputStream): OutputStream {
  const direct = openDirect(fd);
  let waiting: OutputStream | undefined;
  let broken: Error | undefined;
  const writeNow = (bytes: Uint8Array): number => {
    if (direct === undefined || waiting !== undefined) return 0;
    if (broken !== undefined) throw broken;
    try {
      return writeWithoutWaiting(direct, bytes);
    } catch (error) {
      throw (broken = error instanceof Error ? outputFailure(fd, error) : new Error(String(error)));
    }
  };
  return {
    isTty: false,
    columns: 80,
    rows: 24,
    async write(data) {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      const written = writeNow(bytes);
      if (written < bytes.length) await (waiting ??= slow()).write(bytes.subarray(written));
    },
    onResize: () => () => undefined,
  };
}

/** A descriptor on which no write waits; undefined where there is none to be had. */
function openDirect(fd: 1 | 2): number | undefined {
  try {
    const stat = fstatSync(fd);
    if (stat.isFile() || stat.isCharacterDevice()) return fd;
    if (!stat.isFIFO() || process.platform !== "linux") return undefined;
    // Anew, since a mode of the descriptor itself would be that of all who share it.
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // Closed, or of another user.
    return undefined;
  }
}

/** How many of them it took. */
function writeWithoutWaiting(fd: number, bytes: Uint8Array): number {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") break;
      throw error;
    }
  }
  return written;
}
