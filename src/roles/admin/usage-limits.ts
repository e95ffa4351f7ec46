/** Every bound of the usage facts: what is served, how often Fly is asked, what is kept. Sizes are bytes, times milliseconds. */
export const usageLimits = {
  /** An answer is shared for so long, and so is a failure: Fly is asked no oftener. */
  factsAgeMs: 5_000,
  /** A caller waits so long for Fly; then it gets the answer before, which says that it is old. */
  answerWaitMs: 20_000,
  /** Older than this, an answer is no longer given out in place of a new one. */
  staleMs: 3_600_000,
  /** With a journal Fly is asked although nobody else does: it keeps only a machine's last events. */
  pollMs: 60_000,

  /** A connection on which nothing moves any more. */
  requestIdleMs: 10_000,
  /** Longer than the wait for Fly. */
  answerIdleMs: 30_000,
  /** There is no request with a body. */
  requestBytesMax: 1,
  pathBytesMax: 2_048,
  /** From one address; more get 429. Whoever guesses a bearer does it slowly. */
  refusalsPerSecond: 10,
  refusalsBurst: 10,
  sourcesMax: 4_096,
  /** Shorter bearers can be guessed: warned about on loopback, refused elsewhere. */
  bearerCharactersMin: 16,
  bearerCharactersMax: 4_096,
  gzipBytesMin: 1_024,

  /** A thousand machines that start and stop once a day write this in a year. Read in 2 s. */
  journalBytesMax: 64 << 20,
  /** What could not be written waits; beyond this no more is taken in until it was. */
  unwrittenBytesMax: 1 << 20,
  /** How often "looked, and nothing had changed" is written down. */
  pollMarkMs: 300_000,
  intervalsMax: 100_000,
} as const;
