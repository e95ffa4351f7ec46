/** What `within` gives when the time ran out first. */
export const late: unique symbol = Symbol("late");

/**
 * The promise's outcome, or `late` after so many milliseconds. A promise that comes too late is
 * looked after here: its rejection disturbs nobody.
 */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | typeof late> {
  const { promise: timeout, resolve } = Promise.withResolvers<typeof late>();
  const cancel = whenLate(timeoutMs, () => resolve(late));
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    cancel();
  }
}

/**
 * Calls `body` when so much time has passed and what came in meanwhile was looked at. A program that
 * stood still (no processor left for it, a machine that was suspended) may find its timers due before
 * it sees that its sockets were ready long ago. Returns what cancels it.
 */
export function whenLate(timeoutMs: number, body: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(body, 0);
  }, timeoutMs);
  return () => clearTimeout(timer);
}
