import { once } from "node:events";
import { lstatSync, mkdirSync, unlinkSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { Failure } from "../../../cli/failure.ts";
import { madePrivately, nameKept } from "../../../system/private-socket.ts";
import { connectUnix, SocketError } from "../../../system/tcp-stream.ts";

export interface ControlSocket {
  readonly path: string;
  close(): void;
}

/**
 * An HTTP server on a Unix socket for its owner alone. Folders are made, a socket that nobody answers at
 * is replaced; anything else that is there is not. Rejects with `Failure`.
 */
export async function openControlSocket(
  path: string,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<ControlSocket> {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusable(path, codeOf(error));
  }
  await removeStale(path);
  const server = createServer(serve);
  // A request may take as long as its command.
  server.requestTimeout = 0;
  await listenPrivately(server, path);
  const hasItsName = nameKept(path);
  return {
    path,
    close: () => {
      // It would take away whatever has the name by now.
      if (hasItsName()) server.close();
      server.closeAllConnections();
    },
  };
}

async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw new Failure("FV-FWD-006", `"${path}" is there, and no socket`, {
      fix: "choose another path; a file is never replaced",
    });
  try {
    (await connectUnix(path)).abort(0);
  } catch (error) {
    if (!(error instanceof SocketError) || error.code !== "ECONNREFUSED") throw error;
    unlinkSync(path);
    return;
  }
  throw new Failure("FV-FWD-006", `another process answers at "${path}"`, {
    fix: "choose another path, or end that process",
  });
}

async function listenPrivately(server: Server, path: string): Promise<void> {
  const listening = once(server, "listening");
  // The socket is made within this call.
  madePrivately(() => server.listen(path));
  try {
    await listening;
  } catch (error) {
    throw unusable(path, codeOf(error));
  }
}

function unusable(path: string, code: string): Failure {
  return new Failure("FV-FWD-006", `cannot listen on "${path}"`, { because: code });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "EIO";
}
