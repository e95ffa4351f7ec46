import { ptr } from "bun:ffi";
import { lastErrno, openLibc, SystemError } from "./libc.ts";
import { callNumbers, type Credentials, currentGroups, groupList } from "./process-credentials.ts";
import type { PreparedSpawn } from "./process-spawn.ts";

/** Where the new process lives, and as whom. */
export interface Place {
  /** A PID namespace, by descriptor; without one the process is the first of a namespace of its own. */
  readonly pidNamespace: number | undefined;
  /** That of the calling thread. */
  readonly home: number;
  /** Not root, whose process stays root's without a word. */
  readonly user?: Credentials | undefined;
}

/**
 * Starts a program in another PID namespace. Throws `SystemError`.
 *
 * A thread that turned to another PID namespace gets no new threads from the kernel (EINVAL), and
 * JavaScriptCore ends the program when it gets none. It wants one to compile what has just become hot,
 * or to collect garbage, whenever the ones before had nothing to do for ten seconds, and looks for that
 * where a function begins, in loops, and where memory is taken. So between leaving home and being back
 * there are calls to libc and nothing else: no function of ours, no loop, no new object.
 *
 * The user is changed past libc, which would do so for all threads; the saved one stays root until the
 * new program runs, whose saved user is the effective one.
 */
export function startThere(spawn: PreparedSpawn, { pidNamespace, home, user }: Place): number {
  const { unshare, setns, syscall, posix_spawn } = libc();
  const { pid, path, actions, attributes, argv, env } = spawn.pointers;
  const { setgroups, setresgid, setresuid } = callNumbers();
  const { uid, gid } = user ?? root;
  const theirs = user === undefined ? noGroups : groupWords(user.groups);
  const ours = user === undefined ? noGroups : groupWords(currentGroups());
  let became = 0;
  let spawned = 0;
  let returned = 0;

  const went = pidNamespace === undefined ? unshare(cloneNewPid) : setns(pidNamespace, 0);
  if (went === 0) {
    if (user !== undefined) {
      became = syscall(setgroups, theirs.count, theirs.address, 0);
      if (became === 0) became = syscall(setresgid, gid, gid, 0);
      if (became === 0) became = syscall(setresuid, uid, uid, 0);
    }
    if (became === 0) spawned = posix_spawn(pid, path, actions, attributes, argv, env);
    if (user !== undefined) {
      returned |= syscall(setresuid, 0, 0, 0);
      returned |= syscall(setresgid, 0, 0, 0);
      returned |= syscall(setgroups, ours.count, ours.address, 0);
    }
    returned |= setns(home, 0);
  }

  // Half there and half here, or with somebody else's rights: better the supervisor starts us again.
  if (returned !== 0) process.abort();
  // Calls that succeed leave errno alone.
  if (went !== 0)
    throw new SystemError(pidNamespace === undefined ? "unshare" : "setns", lastErrno());
  if (became !== 0) throw new SystemError("setresuid", lastErrno(), `${uid}:${gid}`);
  return spawn.started(spawned);
}

interface GroupWords {
  readonly count: number;
  readonly address: number;
  /** What is at the address. */
  readonly list: Uint32Array;
}

function groupWords(groups: readonly number[]): GroupWords {
  const list = groupList(groups);
  return { count: groups.length, address: ptr(list), list };
}

const root = { uid: 0, gid: 0 };
const noGroups = groupWords([]);
const cloneNewPid = 0x2000_0000;

let opened: ReturnType<typeof openCalls> | undefined;

function libc(): ReturnType<typeof openCalls> {
  opened ??= openCalls();
  return opened;
}

/** All of them with results that are no objects. */
function openCalls() {
  return openLibc({
    unshare: { args: ["i32"], returns: "i32" },
    setns: { args: ["i32", "i32"], returns: "i32" },
    syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i32" },
    posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  });
}
