/** What `within` gives when the time ran out first. */
export const late: unique symbol = Symbol("late");

/**
 * The promise's outcome, or `late` after so many milliseconds. A promise that comes too late is
 * looked after here: its rejection disturbs nobody.
 */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | typeof late> {
  const { promise: timeout, resolve } = Promise.withResolvers<typeof late>();
  const timer = setTimeout(() => {
    resolve(late);
  }, timeoutMs);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
