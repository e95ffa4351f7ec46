import { closeSync, mkdirSync, openSync, readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { limits } from "../../../protocol/limits.ts";
import { tryLock } from "../../../system/file-lock.ts";

/**
 * Each tunnel to a vault is a file, named as the tunnel and locked by its process. One that is not
 * locked was left behind by a process that was killed: its SSH connection waits for nobody.
 */
export class TunnelFiles {
  /** What was left behind. */
  readonly ended: readonly string[];
  readonly #folder: string;
  readonly #id: string;
  readonly #fds: readonly number[];

  /** Where files cannot be, nothing is known of others. Never throws. */
  static open(vault: string, id: string, env: Context["env"]): TunnelFiles {
    const folder = join(stateDirectory(env), "ssh-tunnels", vault);
    const held = new Map<string, number>();
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const own = openSync(join(folder, id), "wx", 0o600);
      tryLock(own);
      for (const name of readdirSync(folder)) {
        if (held.size >= limits.sshEndedMax) break;
        const fd = name === id || !isId(name) ? undefined : lockLeft(join(folder, name));
        if (fd !== undefined) held.set(name, fd);
      }
      return new TunnelFiles({ folder, id, ended: [...held.keys()], fds: [own, ...held.values()] });
    } catch {
      return new TunnelFiles({ folder, id, ended: [], fds: [...held.values()] });
    }
  }

  private constructor(parts: {
    readonly folder: string;
    readonly id: string;
    readonly ended: readonly string[];
    readonly fds: readonly number[];
  }) {
    this.#folder = parts.folder;
    this.#id = parts.id;
    this.ended = parts.ended;
    this.#fds = parts.fds;
  }

  /** The machine has heard of those that were left behind. */
  forgetEnded(): void {
    for (const name of this.ended) this.#remove(name);
  }

  /** One that is not over is left for the next process of this computer to tell of. */
  close({ isOver }: { readonly isOver: boolean }): void {
    if (isOver) this.#remove(this.#id);
    for (const fd of this.#fds) closeSync(fd);
  }

  #remove(name: string): void {
    try {
      unlinkSync(join(this.#folder, name));
    } catch {
      // It is gone, or never was.
    }
  }
}

/** What else is in there was not put there by us. */
function isId(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name);
}

/** Undefined while its process lives. */
function lockLeft(path: string): number | undefined {
  const fd = openSync(path, "r");
  if (tryLock(fd)) return fd;
  closeSync(fd);
  return undefined;
}
