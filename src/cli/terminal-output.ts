import { closeSync, constants, openSync } from "node:fs";
import { TerminalWriter } from "../system/process-pipe.ts";
import { BrokenPipe, type OutputStream } from "./context.ts";

/**
 * `output`, which is the terminal `fd`, without its waiting. A terminal that takes nothing for a while
 * (its window hangs, or is at the end of a slow line) must not hold up the rest of the program, as it
 * does with Bun's own stream, which waits in the system call.
 */
export function terminalOutput(output: OutputStream, fd: number): OutputStream {
  const ours = openAgain(fd);
  if (ours === undefined) return output;
  const writer = new TerminalWriter(ours, () => closeSync(ours));
  let turn: Promise<void> | undefined;
  const write = async (data: string | Uint8Array): Promise<void> => {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    if (!(await writer.write(bytes))) throw new BrokenPipe("The terminal has gone away");
  };
  return {
    get isTty() {
      return output.isTty;
    },
    get columns() {
      return output.columns;
    },
    get rows() {
      return output.rows;
    },
    write(data) {
      // With none before it, it is written before this returns: last words must not be lost to the exit.
      const writing = turn === undefined ? write(data) : turn.then(() => write(data));
      const done: Promise<void> = writing.finally(() => {
        if (turn === done) turn = undefined;
      });
      turn = done;
      return done;
    },
    onResize: (listener) => output.onResize(listener),
  };
}

/** Anew, since a mode of the descriptor itself would be the shell's as well. */
function openAgain(fd: number): number | undefined {
  const path = process.platform === "linux" ? `/proc/self/fd/${fd}` : "/dev/tty";
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}
