import { lstatSync, mkdirSync, readdirSync, statSync, unlinkSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { clientLimits } from "../limits.ts";

/** The socket of a process that has forwards, as its name says. */
export interface RegisteredForwards {
  readonly path: string;
  readonly command: "forward" | "connect";
  readonly vault: string;
  readonly pid: number;
}

/**
 * Where processes with forwards find each other: sockets in a folder of the user alone, whose names
 * say whose they are.
 */
export function newRegisteredPath(
  command: RegisteredForwards["command"],
  vault: string,
  context: Pick<Context, "env" | "randomBytes">,
): string {
  const unique = Buffer.from(context.randomBytes(3)).toString("hex");
  return join(registryFolder(context.env), `${command}@${vault}@${process.pid}@${unique}`);
}

/** Those that were there a moment ago: `forward` before `connect`, the oldest first. */
export function registeredForwards(env: Context["env"]): RegisteredForwards[] {
  const folder = registryFolder(env);
  if (!isPrivate(folder)) return [];
  return readdirSync(folder)
    .slice(0, clientLimits.controlSocketsMax)
    .flatMap((name) => {
      const [, command, vault = "", pid] =
        /^(forward|connect)@([^@]+)@(\d+)@[0-9a-f]+$/.exec(name) ?? [];
      if (command === undefined) return [];
      const path = join(folder, name);
      const bornMs = statSync(path, { throwIfNoEntry: false })?.ctimeMs ?? 0;
      return [{ path, vault, pid: Number(pid), bornMs, command: command as "forward" | "connect" }];
    })
    .toSorted((a, b) => b.command.localeCompare(a.command) || a.bornMs - b.bornMs);
}

/** Makes the folder; false where it cannot be one of ours alone. */
export function prepareRegistry(env: Context["env"]): boolean {
  const folder = registryFolder(env);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return isPrivate(folder);
  } catch {
    return false;
  }
}

/** Its process has ended without taking it away. */
export function forgetRegistered({ path }: RegisteredForwards): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else was first.
  }
}

function registryFolder(env: Context["env"]): string {
  return join(runtimeFolder(env) ?? join(stateDirectory(env), "run"), "forwards");
}

/** Where it is ours: `sudo` may leave that of somebody else in the environment. */
function runtimeFolder(env: Context["env"]): string | undefined {
  const path = env["XDG_RUNTIME_DIR"];
  const isMoved = (env["FLY_VAULT_HOME"] ?? "") !== "";
  if (isMoved || path === undefined || !isAbsolute(path)) return undefined;
  const isOurs = statSync(path, { throwIfNoEntry: false })?.uid === process.geteuid?.();
  return isOurs ? join(path, "fly-vault") : undefined;
}

function isPrivate(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return (
    found?.isDirectory() === true && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0
  );
}
