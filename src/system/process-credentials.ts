import { ptr } from "bun:ffi";
import { check, openLibc } from "./libc.ts";
import { keepCapabilities } from "./process.ts";

export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/**
 * Runs `body` as another user. The calls go past libc, which would change all threads: only ours changes, and
 * it can come back since its saved user stays root. So `body` is synchronous, and nothing of it may be the work
 * of another thread.
 */
export function asUser<Result>(credentials: Credentials, body: () => Result): Result {
  const before = currentGroups();
  try {
    setGroups(credentials.groups);
    setGroup(credentials.gid);
    setUser(credentials.uid);
    return body();
  } finally {
    try {
      call("setresuid", 0, 0, 0);
      call("setresgid", 0, 0, 0);
      setGroups(before);
    } catch {
      // Neither root nor the user: whatever comes next would be done with the wrong rights.
      process.abort();
    }
  }
}

/** This process is that user from here on, all of its threads, and cannot go back. */
export function becomeUser({ uid, gid, groups }: Credentials): void {
  const list = groupList(groups);
  check("setgroups", () => libc().setgroups(BigInt(groups.length), ptr(list)));
  check("setresgid", () => libc().setresgid(gid, gid, gid));
  check("setresuid", () => libc().setresuid(uid, uid, uid));
}

/** The calling thread stays root, with these capabilities alone; all others become nobody, with none. */
export function stayRootAlone({ gid, groups }: Credentials, capabilities: readonly number[]): void {
  check("prctl", () => libc().prctl(setKeepCapabilities, 1n, 0n, 0n, 0n));
  becomeUser({ uid: nobody, gid: nobody, groups: [] });
  check("prctl", () => libc().prctl(setKeepCapabilities, 0n, 0n, 0n, 0n));
  // Permitted to this thread still, and not in effect until they are taken up again.
  keepCapabilities([...capabilities, ...changeUser]);
  call("setresgid", gid, gid, gid);
  setGroups(groups);
  call("setresuid", 0, 0, 0);
  keepCapabilities(capabilities);
}

/** The saved user stays root until the new program runs, whose saved user is the effective one. */
function setUser(uid: number): void {
  call("setresuid", uid, uid, 0);
}

function setGroup(gid: number): void {
  call("setresgid", gid, gid, 0);
}

function setGroups(groups: readonly number[]): void {
  const list = groupList(groups);
  const number = BigInt(callNumbers().setgroups);
  check("setgroups", () => libc().syscall(number, BigInt(groups.length), BigInt(ptr(list)), 0n));
}

export function currentGroups(): readonly number[] {
  return process.getgroups?.() ?? [];
}

/** In memory that does not move, and is never empty: that would have no address. */
export function groupList(groups: readonly number[]): Uint32Array<ArrayBuffer> {
  const list = new Uint32Array(new ArrayBuffer(Math.max(4, groups.length * 4)));
  list.set(groups);
  return list;
}

function call(
  name: "setresuid" | "setresgid",
  real: number,
  effective: number,
  saved: number,
): void {
  const number = BigInt(callNumbers()[name]);
  check(name, () => libc().syscall(number, BigInt(real), BigInt(effective), BigInt(saved)));
}

const nobody = 65_534;
const setKeepCapabilities = 8;
/** CAP_SETGID and CAP_SETUID. */
const changeUser = [6, 7];

/** For calls past libc. */
export function callNumbers(): { setresuid: number; setresgid: number; setgroups: number } {
  return process.arch === "arm64"
    ? { setresuid: 147, setresgid: 149, setgroups: 159 }
    : { setresuid: 117, setresgid: 119, setgroups: 116 };
}

let opened: ReturnType<typeof openSyscall> | undefined;

function libc(): ReturnType<typeof openSyscall> {
  opened ??= openSyscall();
  return opened;
}

function openSyscall() {
  return openLibc({
    syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    setgroups: { args: ["u64", "ptr"], returns: "i32" },
    setresgid: { args: ["u32", "u32", "u32"], returns: "i32" },
    setresuid: { args: ["u32", "u32", "u32"], returns: "i32" },
  });
}
