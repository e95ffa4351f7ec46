import { hasCode } from "./filesystem.ts";
import { check, openLibc } from "./libc.ts";

/** False where another open file description holds the lock. Released with the last descriptor of this one. */
export function tryLock(fd: number): boolean {
  try {
    check("flock", () => libc().flock(fd, lockExclusive | lockNonBlocking));
    return true;
  } catch (error) {
    if (hasCode(error, "EAGAIN", "EWOULDBLOCK")) return false;
    throw error;
  }
}

let opened: ReturnType<typeof openSymbols> | undefined;

function libc(): ReturnType<typeof openSymbols> {
  return (opened ??= openSymbols());
}

/** Apart from the other calls on files, which not every platform of the administrator has. */
function openSymbols() {
  return openLibc({ flock: { args: ["i32", "i32"], returns: "i32" } });
}

const lockExclusive = 2;
const lockNonBlocking = 4;
