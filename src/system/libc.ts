import { dlopen, type FFIFunction, read } from "bun:ffi";
import { constants } from "node:os";

/**
 * The one door to libc. Bun has no binding for openat2, renameat2, mount, setns and their like;
 * callers open the functions they need with `openLibc` and put every result through `check`.
 *
 * Memory: JavaScriptCore moves small typed arrays, so what is handed to libc lives on an explicit
 * ArrayBuffer (`cString`, `cStruct`), referenced by the caller until the call is over.
 */
const libraryName = process.platform === "darwin" ? "libc.dylib" : "libc.so.6";

/** Opens functions of libc. Loaded lazily by callers, so that `--help` works on a foreign platform. */
export function openLibc<Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): ReturnType<typeof dlopen<Functions>>["symbols"] {
  // Before the first call that may fail: looking a function up would change errno itself.
  errnoAddress ??= openErrno();
  return dlopen(libraryName, functions).symbols;
}

/** A system call that failed. `code` is the name everybody knows ("ENOSPC"). */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;

  constructor(syscall: string, errno: number, subject?: string) {
    const code = errnoName(errno);
    super(subject === undefined ? `${syscall}: ${code}` : `${syscall} ${subject}: ${code}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

let errnoAddress: (() => number) | undefined;

function openErrno(): () => number {
  const signature = { args: [], returns: "ptr" } as const;
  if (process.platform === "darwin") {
    const { __error } = dlopen(libraryName, { __error: signature }).symbols;
    return () => Number(__error());
  }
  const { __errno_location } = dlopen(libraryName, { __errno_location: signature }).symbols;
  return () => Number(__errno_location());
}

/** errno of the calling thread. Right after a failed call only: anything in between may change it. */
export function lastErrno(): number {
  errnoAddress ??= openErrno();
  return read.i32(errnoAddress(), 0);
}

/** Calls until it is not interrupted by a signal; throws `SystemError` on -1. `subject` names the thing for people. */
export function check(
  syscall: string,
  call: () => number | bigint,
  subject?: string | Uint8Array,
): number {
  for (;;) {
    const result = Number(call());
    if (result !== -1) return result;
    const errno = lastErrno();
    if (errno !== constants.errno.EINTR) throw new SystemError(syscall, errno, asText(subject));
  }
}

/** Text (UTF-8) or raw bytes with the terminating zero. An inner zero would silently cut the name: refused. */
export function cString(text: string | Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  if (bytes.includes(0)) throw new TypeError("A zero byte inside a C string");
  const terminated = cStruct(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/**
 * As `cString`, in memory that is used again: good for the one call to libc that follows. A copy makes
 * five calls with names for each small file, and memory of their own was a tenth of its time.
 */
export function momentaryCString(text: string | Uint8Array, place: 0 | 1 = 0): Uint8Array {
  const bytes = typeof text === "string" ? Buffer.from(text, "utf8") : text;
  const room = rooms[place];
  if (bytes.length >= room.length || bytes.includes(0)) return cString(bytes);
  room.set(bytes);
  room[bytes.length] = 0;
  return room;
}

/** Zeroed memory that does not move, for structures and results. */
export function cStruct(sizeBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new ArrayBuffer(sizeBytes));
}

/** A path of Linux, with its end. */
const roomBytes = 4096;
const rooms = [cStruct(roomBytes), cStruct(roomBytes)] as const;

const errnoNames: ReadonlyMap<number, string> = new Map(
  // EAGAIN and EWOULDBLOCK share a number: the first name of the table wins.
  Object.entries(constants.errno)
    .toReversed()
    .map(([name, number]) => [number, name]),
);

/** Only where something went wrong: names are bytes. */
function asText(subject: string | Uint8Array | undefined): string | undefined {
  return subject instanceof Uint8Array ? Buffer.from(subject).toString("utf8") : subject;
}

function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}
