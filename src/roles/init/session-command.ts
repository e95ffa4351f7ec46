import { accessSync, constants, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { RemoteError } from "../../protocol/errors.ts";
import type { SessionOpenRequest } from "../../protocol/session-message.ts";
import type { Account } from "./account.ts";

/** What a session runs, decided inside the workload's root. */
export interface SessionCommand {
  readonly path: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/**
 * Reads the files of the root it is called in. Throws `RemoteError` with the three ways a command is
 * not there. On the keeper's one thread: where home, folder, PATH or program lie on a file system
 * that hangs (a network one whose server is gone), all sessions wait as long. So it touches those
 * alone, and nothing in PATH behind the first find.
 */
export function resolveCommand(
  request: SessionOpenRequest,
  account: Account,
  surroundings: Readonly<Record<string, string>> = {},
): SessionCommand {
  const env = sessionEnvironment(request, account, surroundings);
  const cwd = sessionFolder(request.cwd, account);
  const [word, ...words] = request.argv ?? [];
  if (word === undefined) {
    const shell = isExecutableFile(account.shell) ? account.shell : "/bin/sh";
    const path = findProgram(shell, env, cwd);
    if (request.command !== undefined)
      return { path, argv: [basename(shell), "-c", request.command], env, cwd };
    // The dash makes it a login shell.
    return { path, argv: [`-${basename(shell)}`], env, cwd };
  }
  return { path: findProgram(word, env, cwd), argv: [word, ...words], env, cwd };
}

function sessionEnvironment(
  request: SessionOpenRequest,
  account: Account,
  surroundings: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return {
    PATH: account.uid === 0 ? rootPath : userPath,
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    ...(request.tty ? { TERM: "xterm-256color" } : {}),
    ...surroundings,
    ...request.env,
  };
}

/** What was asked for must be there; a missing home, as with login(1), is "/". */
function sessionFolder(asked: string | undefined, account: Account): string {
  if (asked === undefined) return isFolder(account.home) ? account.home : "/";
  const folder = resolve(account.home, asked);
  if (isFolder(folder)) return folder;
  throw new RemoteError("command-failed-to-start", `There is no folder ${folder} to start in`);
}

function findProgram(word: string, env: Readonly<Record<string, string>>, cwd: string): string {
  const candidates = word.includes("/")
    ? [resolve(cwd, word)]
    : (env["PATH"] ?? "").split(":").map((folder) => resolve(cwd, folder, word));
  const found = candidates.find((path) => isExecutableFile(path));
  if (found !== undefined && word !== "") return found;
  const there = candidates.find((path) => exists(path));
  if (there !== undefined && word !== "")
    throw new RemoteError("command-not-executable", `${there} is not an executable file`);
  throw new RemoteError("command-not-found", `${word}: command not found`);
}

function isExecutableFile(path: string): boolean {
  try {
    if (!statSync(path).isFile()) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

const rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const userPath = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
