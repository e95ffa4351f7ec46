import { closeSync, unlinkSync } from "node:fs";
import { RemoteError } from "../../protocol/errors.ts";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { hasCode, openat2, openFlags, resolveFlags } from "../../system/filesystem.ts";
import { madePrivately, nameKept } from "../../system/private-socket.ts";
import {
  connectUnix,
  type Listening,
  type ListenOptions,
  listenUnix,
  SocketError,
} from "../../system/tcp-stream.ts";

/**
 * Unix sockets of the guest, by paths inside its root file system. Whoever owns that tree may put a
 * symbolic link anywhere in it: the kernel resolves the path as if the tree were all there is, and
 * what it found is used by descriptor, so that nothing can be exchanged in between.
 */
export async function connectGuestSocket(
  rootFolder: number,
  path: string,
  timeoutMs: number,
): Promise<ByteStream> {
  const fd = openInside(rootFolder, path, openFlags.path, "forward-unreachable");
  try {
    return await connectUnix(`/proc/self/fd/${fd}`, timeoutMs);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    throw error.code === "ECONNREFUSED"
      ? new RemoteError("forward-refused", `Nothing listens on ${path}`)
      : new RemoteError("forward-unreachable", `${path} cannot be reached: ${error.code}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Nothing that is there gives way, whatever it is: not even a socket nobody listens on, which may be
 * somebody else's. Throws `RemoteError`.
 */
export function listenGuestSocket(
  rootFolder: number,
  path: string,
  options: ListenOptions,
): Listening {
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  if (name === "" || name === "." || name === "..")
    throw new RemoteError("listen-refused", `${path} is no name for a socket`);
  const folder = openInside(
    rootFolder,
    path.slice(0, slash + 1),
    openFlags.path | openFlags.directory,
    "listen-refused",
  );
  const place = `/proc/self/fd/${folder}/${name}`;
  try {
    const listening = madePrivately(() => listenUnix(place, options));
    const isOurs = nameKept(place);
    const close = (): void => {
      if (isOurs()) unlinkSync(place);
      // Bun would take away whatever has the name by now: without the folder it finds nothing.
      closeSync(folder);
      listening.close();
    };
    return { port: 0, close };
  } catch (error) {
    closeSync(folder);
    if (!(error instanceof SocketError)) throw error;
    throw new RemoteError(
      "listen-refused",
      error.code === "EADDRINUSE"
        ? `${path} is there already, and is not replaced`
        : `cannot listen on ${path}: ${error.code}`,
    );
  }
}

function openInside(
  rootFolder: number,
  path: string,
  flags: number,
  refusal: "forward-unreachable" | "listen-refused",
): number {
  try {
    return openat2(rootFolder, path, { flags, resolve: resolveFlags.inRoot });
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR"))
      throw new RemoteError(refusal, `There is no ${path} in the root file system`);
    if (!hasCode(error, "ELOOP", "EACCES", "ENAMETOOLONG", "EXDEV", "EAGAIN")) throw error;
    throw new RemoteError(refusal, `${path} cannot be opened`);
  }
}
