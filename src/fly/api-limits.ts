/** Bounds of our calls to the Machines API. "Fly says" are published figures, "we chose" are ours. */
export const apiLimits = {
  /** Fly says: a second per action and id, bursts of three; five and ten for reading one machine. */
  actionPerSecond: 1,
  actionBurst: 3,
  readPerSecond: 5,
  readBurst: 10,
  /** Fly says: `wait` blocks at most this long. */
  waitSecondsMax: 60,
  /** We chose: shorter waits, so that a machine that stopped again is noticed. */
  waitChunkSeconds: 15,
  /** We chose: one call, answer included, on top of the time it was asked to wait. */
  callTimeoutMs: 30_000,
  /** Fly says: the longest grace a machine can have to stop. */
  stopTimeoutMsMax: 300_000,
  /** We chose: how long a machine may refuse to start after it was made or changed, and how often it is asked. */
  startRetryMs: 60_000,
  startRetryPauseMs: 1_000,
  /** We chose: a thousand full machines are about 8 MB. */
  answerBytesMax: 32 << 20,
  /** We chose: a command's answer is the machine's word, as long and as late as it likes. */
  execAnswerBytesMax: 256 << 10,
  execMarginMs: 5_000,
  attemptsMax: 6,
  /** We chose: the limits are the app's, so that a few of us at once go slower instead of failing; 100 s at most, 50 s on average. */
  throttledAttemptsMax: 16,
  /** We chose: nobody waits long to hear that there is no network. */
  connectAttemptsMax: 3,
  backoffMs: 400,
  backoffMsMax: 8_000,
  retryAfterMsMax: 60_000,
  pageSize: 500,
  /** Fly says: at most so many rows a page. Without configurations a row is about 500 bytes. */
  summaryPageSize: 1_000,
  pagesMax: 1_000,
  bucketsMax: 4_096,
  cookiesMax: 32,
  cookieBytesMax: 4_096,
  /** Fly says: what was just created may be unknown for a while. */
  freshMs: 30_000,
  freshPollMs: 1_000,
  quotedCharactersMax: 300,
} as const;
