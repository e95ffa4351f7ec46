import { isTerminal, mayBeTerminal } from "../system/is-terminal.ts";
import type { OutputStream } from "./context.ts";
import { directOutput } from "./direct-output.ts";
import { outputFailure } from "./output-failure.ts";
import { terminalOutput } from "./terminal-output.ts";

/** Standard output or standard error; no stream of Bun's is made before there is something to say. */
export function processOutput(fd: 1 | 2): OutputStream {
  // A pipe is opened here and now: later this process may stand in a guest's root, where names are the guest's.
  let made = mayBeTerminal(fd) ? undefined : direct(fd);
  const output = (): OutputStream => (made ??= openOutput(fd));
  return {
    get isTty() {
      return isTerminal(fd);
    },
    get columns() {
      return output().columns;
    },
    get rows() {
      return output().rows;
    },
    write: (data) => output().write(data),
    onResize: (listener) => output().onResize(listener),
  };
}

function openOutput(fd: 1 | 2): OutputStream {
  return isTerminal(fd) ? terminalOutput(streamOutput(fd), fd) : direct(fd);
}

function direct(fd: 1 | 2): OutputStream {
  return directOutput(fd, () => streamOutput(fd));
}

function streamOutput(fd: 1 | 2): OutputStream {
  const stream = fd === 1 ? process.stdout : process.stderr;
  let broken: Error | undefined;
  // Without a listener Bun prints a stack when the reader of a pipe has gone away.
  stream.on("error", (error) => {
    broken ??= outputFailure(fd, error);
  });
  return {
    get isTty() {
      return stream.isTTY;
    },
    get columns() {
      return stream.columns ?? 80;
    },
    get rows() {
      return stream.rows ?? 24;
    },
    async write(data) {
      if (broken !== undefined) throw broken;
      if (data.length === 0) return;
      await new Promise<void>((resolve, reject) => {
        stream.write(data, (error) => {
          if (error == null) resolve();
          else reject((broken ??= outputFailure(fd, error)));
        });
      });
    },
    onResize(listener) {
      stream.on("resize", listener);
      return () => {
        stream.off("resize", listener);
      };
    },
  };
}
