import { open } from "node:fs/promises";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { systemClock } from "../../fly/api-clock.ts";
import { tryLock } from "../../system/file-lock.ts";

/**
 * A key file is changed by one at a time: who reads it, adds a master and writes it back would else
 * undo what another one did in between. The lock is a file beside it, because the key file itself is
 * replaced, and stays: taken away, two could hold one of that name each.
 */
export async function withKeyLock<T>(
  path: string,
  context: Context,
  work: () => Promise<T>,
): Promise<T> {
  const lockPath = `${path}.lock`;
  const handle = await open(lockPath, "a", 0o600).catch((error: unknown) => {
    const because = error instanceof Error ? error.message : String(error);
    throw new Failure("FV-CLI-001", `the key file "${path}" cannot be used`, { because });
  });
  try {
    const sleep = context.sleep ?? systemClock.sleep;
    for (let waitedMs = 0; !tryLock(handle.fd); waitedMs += lookMs) {
      if (waitedMs >= keyLockMs) throw held(path, lockPath);
      await sleep(lookMs, undefined);
    }
    return await work();
  } finally {
    await handle.close();
  }
}

/** A change takes a few milliseconds; nobody holds it for long. */
export const keyLockMs = 10_000;
const lookMs = 20;

function held(path: string, lockPath: string): Failure {
  return new Failure("FV-ADM-006", `somebody else is changing the key file "${path}"`, {
    because: `another process holds ${lockPath}`,
    fix: "wait for it to end, then try again",
  });
}
