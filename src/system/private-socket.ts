import { lstatSync } from "node:fs";
import { type Listening, type ListenOptions, listenUnix } from "./tcp-stream.ts";

/**
 * A Unix socket for its owner alone, from the first moment. Its close takes its name away, and leaves
 * what has that name by then if it is another's: Bun would take away that as well. Throws `SocketError`.
 */
export function listenPrivateUnix(path: string, options: ListenOptions): Listening {
  const listening = madePrivately(() => listenUnix(path, options));
  const isOurs = nameKept(path);
  return {
    port: 0,
    close: () => {
      // Nobody finds it without its name: what is left is a descriptor, until the process ends.
      if (isOurs()) listening.close();
    },
  };
}

/** `make` makes a socket within the call: only its owner may connect to it. */
export function madePrivately<Made>(make: () => Made): Made {
  const before = process.umask(0o177);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}

/** Tells later whether `path` is still what it is now. */
export function nameKept(path: string): () => boolean {
  const made = lstatSync(path, { throwIfNoEntry: false });
  return () => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return made !== undefined && found?.dev === made.dev && found.ino === made.ino;
  };
}
