import { ptr } from "bun:ffi";
import { check, cString, cStruct, openLibc } from "./libc.ts";
import { StringArray } from "./process-memory.ts";

/** What a process may do to itself that Bun has no call for. */

/** Replaces this program. Returns only by throwing: `SystemError` names what was to be run. */
export function execute(
  path: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): never {
  const program = cString(path);
  const words = new StringArray(argv);
  const variables = new StringArray(environmentLines(env));
  check("execve", () => libc().execve(ptr(program), words.pointer(), variables.pointer()), path);
  throw new Error(`execve ${path} came back`);
}

export function environmentLines(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`);
}

/** No core dump and no look into our memory or /proc files by others of our user. */
export function forbidInspection(): void {
  check("prctl", () => libc().prctl(setDumpable, 0n, 0n, 0n, 0n));
  // The soft limit only: a workload may raise its own again, as on any machine.
  const limit = new BigUint64Array(new ArrayBuffer(16));
  check("getrlimit", () => libc().getrlimit(coreLimit, ptr(limit)));
  limit[0] = 0n;
  check("setrlimit", () => libc().setrlimit(coreLimit, ptr(limit)));
}

/**
 * We are killed when the thread that started us ends. Must be asked for by the child: a parent cannot.
 * False when the parent was gone before we could ask.
 */
export function dieWithParent(parentPid?: number): boolean {
  check("prctl", () => libc().prctl(setParentDeathSignal, 9n, 0n, 0n, 0n));
  return parentPid === undefined || process.ppid === parentPid;
}

/** Capabilities that no program started from here on can have, whatever its user; ours stay. */
export function dropFromBoundingSet(capabilities: readonly number[]): void {
  for (const capability of capabilities) {
    check("prctl", () => libc().prctl(dropBounding, BigInt(capability), 0n, 0n, 0n));
  }
}

/** The calling thread can have no other capabilities than these any more, and no program it starts can gain any. */
export function keepCapabilities(capabilities: readonly number[]): void {
  check("prctl", () => libc().prctl(setNoNewPrivileges, 1n, 0n, 0n, 0n));
  const kept = capabilities.reduce((mask, capability) => mask | (1 << capability), 0);
  const header = new Uint32Array(new ArrayBuffer(8));
  header[0] = capabilityVersion3;
  // Effective, permitted, inheritable; then the same of the capabilities above 31.
  const sets = new Uint32Array(new ArrayBuffer(24));
  sets.set([kept, kept, 0]);
  check("capset", () => libc().capset(ptr(header), ptr(sets)));
}

/** Signals ignored or blocked here would stay so in the program executed next. */
export function resetSignals(): void {
  for (let signal = 1; signal <= signalMax; signal++) {
    // SIGKILL, SIGSTOP and glibc's own two refuse: they need no reset.
    libc().signal(signal, null);
  }
  const none = cStruct(128);
  check("sigprocmask", () => libc().sigprocmask(setMask, ptr(none), null));
}

/** Bun makes pipes it was given non-blocking, for all who hold them; a program executed next would lose output. */
export function makeBlocking(fd: number): void {
  const flags = check("fcntl", () => libc().fcntl(fd, readFlags, 0));
  check("fcntl", () => libc().fcntl(fd, writeFlags, flags & ~nonBlocking));
}

/** Reads and writes of it never wait, for all who hold it. */
export function makeNonBlocking(fd: number): void {
  const flags = check("fcntl", () => libc().fcntl(fd, readFlags, 0));
  check("fcntl", () => libc().fcntl(fd, writeFlags, flags | nonBlocking));
}

/** Every descriptor from `first` on closes when the next program is executed. */
export function closeOnExecute(first: number): void {
  check("close_range", () => libc().close_range(first, 0xffff_ffff, closeRangeCloseOnExec));
}

export function setHostname(name: string): void {
  const bytes = cString(name);
  check("sethostname", () => libc().sethostname(ptr(bytes), BigInt(bytes.length - 1)));
}

/** A file in memory without a name. Programs executed from here have it, too, unless it closes then. */
export function memoryFile(name: string, { closesOnExec = false } = {}): number {
  const bytes = cString(name);
  return check("memfd_create", () => libc().memfd_create(ptr(bytes), Number(closesOnExec)));
}

/** Pages of all file systems reach their disks. */
export function syncDisks(): void {
  libc().sync();
}

/** `pid` below 0 is a process group. Silent when it has ended by now. */
export function signalProcess(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

const readFlags = 3;
const writeFlags = 4;
const nonBlocking = 0o4000;
const setParentDeathSignal = 1;
const setDumpable = 4;
const dropBounding = 24;
const setNoNewPrivileges = 38;
const capabilityVersion3 = 0x2008_0522;
const coreLimit = 4;
const signalMax = 64;
const setMask = 2;
const closeRangeCloseOnExec = 4;

let opened: ReturnType<typeof openProcessCalls> | undefined;

function libc(): ReturnType<typeof openProcessCalls> {
  opened ??= openProcessCalls();
  return opened;
}

function openProcessCalls() {
  return openLibc({
    execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
    prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
    capset: { args: ["ptr", "ptr"], returns: "i32" },
    getrlimit: { args: ["i32", "ptr"], returns: "i32" },
    setrlimit: { args: ["i32", "ptr"], returns: "i32" },
    signal: { args: ["i32", "ptr"], returns: "ptr" },
    sigprocmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    close_range: { args: ["u32", "u32", "u32"], returns: "i32" },
    sethostname: { args: ["ptr", "u64"], returns: "i32" },
    memfd_create: { args: ["ptr", "u32"], returns: "i32" },
    sync: { args: [], returns: "void" },
  });
}
