import { closeSync, constants, openSync } from "node:fs";
import { ptr } from "bun:ffi";
import { check, cString, openLibc, SystemError } from "./libc.ts";
import type { Credentials } from "./process-credentials.ts";
import type { PreparedSpawn } from "./process-spawn.ts";
import { startThere } from "./spawn-there.ts";

/**
 * The namespaces of another process, held by descriptor, and a way to act inside them.
 *
 * Only the calling thread moves, which on Bun is the one that runs JavaScript; it comes back before
 * anything else can run on it. A thread that would be started in between would start inside, so
 * what is done there is synchronous and asks no pool for help.
 */
export class Namespaces {
  readonly #shared: readonly number[];
  readonly #pid: number;
  readonly #rootFd: number;

  constructor(pid: number) {
    const opened: number[] = [];
    try {
      for (const kind of [...sharedKinds, "pid"]) opened.push(openNamespace(pid, kind));
      // Where we were started in a chroot, the mount namespace's root is not that of its processes.
      opened.push(openFolder(`/proc/${pid}/root`));
    } catch (error) {
      for (const fd of opened) closeSync(fd);
      throw error;
    }
    this.#shared = opened.slice(0, sharedKinds.length);
    [this.#pid = -1, this.#rootFd = -1] = opened.slice(sharedKinds.length);
  }

  /** Runs `body` with the root folder, host name and IPC objects of that process. */
  inside<Result>(body: () => Result): Result {
    const home = homeNamespaces();
    separateFolders();
    try {
      for (const fd of this.#shared) enterAlone(fd);
      enterRoot(this.#rootFd);
      return body();
    } finally {
      goHome(home);
    }
  }

  /** The root folder of that process, as a descriptor: what is opened beneath it is found in its mounts. */
  get rootFolder(): number {
    return this.#rootFd;
  }

  /** Starts a program so that it lives among their processes. */
  startAmongTheirs(spawn: PreparedSpawn, user?: Credentials): number {
    return startThere(spawn, { pidNamespace: this.#pid, home: homeNamespaces().pid, user });
  }

  /** For a process of ours that is to move in for good, see `moveIn`. They stay open here until `close`. */
  get door(): Door {
    return { mountFd: this.#shared[sharedKinds.indexOf("mnt")] ?? -1, rootFd: this.#rootFd };
  }

  close(): void {
    for (const fd of [...this.#shared, this.#pid, this.#rootFd]) closeSync(fd);
  }
}

/** Starts a program as the first process of a PID namespace of its own. */
export function startAsFirst(spawn: PreparedSpawn): number {
  return startThere(spawn, { pidNamespace: undefined, home: homeNamespaces().pid });
}

/**
 * For a process with a task of its own: from here on its mounts, host name and IPC objects are its
 * alone, and control groups above the one it is in are out of its sight: a systemd in there would
 * take those of a systemd out here for its own.
 */
export function leaveSharedNamespaces(): void {
  const kinds = cloneNewMounts | cloneNewUts | cloneNewIpc | cloneNewControlGroups;
  check("unshare", () => libc().unshare(kinds));
}

/** By descriptor: the mount namespace of other processes, and the folder they have as their root. */
export interface Door {
  readonly mountFd: number;
  readonly rootFd: number;
}

/**
 * For a process with a task of its own: from here on the calling thread has the other's root folder
 * and an empty network. Closes both descriptors: nothing that leads outside stays open. Bun's other
 * threads stay outside, so whatever touches files there must be a synchronous call.
 */
export function moveIn(door: Door): void {
  separateFolders();
  check("unshare", () => libc().unshare(cloneNewNetwork));
  enterAlone(door.mountFd);
  enterRoot(door.rootFd);
  closeSync(door.mountFd);
  closeSync(door.rootFd);
}

const sharedKinds = ["uts", "ipc", "cgroup", "mnt"] as const;

interface HomeNamespaces {
  readonly shared: readonly number[];
  readonly pid: number;
  readonly rootFd: number;
}

let home: HomeNamespaces | undefined;

function homeNamespaces(): HomeNamespaces {
  home ??= {
    shared: sharedKinds.map((kind) => openNamespace("self", kind)),
    pid: openNamespace("self", "pid"),
    // Entering a mount namespace leads to its root, which is not ours where we were started in a chroot.
    rootFd: openFolder("/"),
  };
  return home;
}

function goHome(to: HomeNamespaces): void {
  orDie(() => {
    separateFolders();
    for (const fd of to.shared) enterAlone(fd);
    enterRoot(to.rootFd);
  });
}

function enterRoot(fd: number): void {
  check("fchdir", () => libc().fchdir(fd));
  const here = cString(".");
  check("chroot", () => libc().chroot(ptr(here)));
}

function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Changes the current folder of this thread alone; `inside` undoes it. */
export function enterFolder(path: string): void {
  const name = cString(path);
  check("chdir", () => libc().chdir(ptr(name)), path);
}

/** Half inside and half outside there is no going on: better the supervisor starts us again. */
function orDie(body: () => void): void {
  try {
    body();
  } catch {
    process.abort();
  }
}

function openNamespace(pid: number | "self", kind: string): number {
  return openSync(`/proc/${pid}/ns/${kind}`, constants.O_RDONLY);
}

function enter(fd: number): void {
  check("setns", () => libc().setns(fd, 0));
}

/**
 * Bun starts threads of its own whenever it likes. One that was started since `separateFolders` shares
 * our folders again, for which the kernel has only EINVAL: then once more.
 */
function enterAlone(fd: number): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      enter(fd);
      return;
    } catch (error) {
      const isShared = error instanceof SystemError && error.code === "EINVAL";
      if (!isShared || attempt === enterAttempts) throw error;
      separateFolders();
    }
  }
}

const enterAttempts = 5;

/** A thread that shares its root and current folder with others may not change the mount namespace. */
function separateFolders(): void {
  check("unshare", () => libc().unshare(cloneFolders));
}

const cloneFolders = 0x200;
const cloneNewMounts = 0x2_0000;
const cloneNewControlGroups = 0x200_0000;
const cloneNewUts = 0x400_0000;
const cloneNewIpc = 0x800_0000;
const cloneNewNetwork = 0x4000_0000;

let opened: ReturnType<typeof openNamespaceCalls> | undefined;

function libc(): ReturnType<typeof openNamespaceCalls> {
  opened ??= openNamespaceCalls();
  return opened;
}

function openNamespaceCalls() {
  return openLibc({
    setns: { args: ["i32", "i32"], returns: "i32" },
    unshare: { args: ["i32"], returns: "i32" },
    chdir: { args: ["ptr"], returns: "i32" },
    fchdir: { args: ["i32"], returns: "i32" },
    chroot: { args: ["ptr"], returns: "i32" },
  });
}
