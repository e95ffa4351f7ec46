/** Bounds of a rollout, chosen by us. Times are milliseconds, sizes bytes. */
export const rolloutLimits = {
  machinesMax: 5_000,
  concurrencyMax: 64,
  secondsMax: 86_400,
  leaseSecondsMin: 30,
  leaseSecondsMax: 3_600,
  /** A gate looks at once, then less and less often, at last this often. */
  pollMsFirst: 100,
  pollMs: 2_000,
  /** One step of one machine: calls that failed in passing, and pauses between them. */
  attemptsMax: 8,
  retryMs: 500,
  retryMsMax: 8_000,
  /** How often a machine may turn out to be changed under us before we leave it alone. */
  surprisesMax: 6,
  /** How often it has to be said that a machine is not there. */
  missingMax: 3,
  /** An answer may be of so long before; then a second look tells. */
  doubtMs: 1_000,
  /** Somebody else's lease: how long beyond the life of ours it is waited for, before the work and after it. */
  heldMs: 10_000,
  heldWhileClearingMs: 300_000,
  /** A change is only sent when the lease lives this much longer. */
  leaseMarginMs: 5_000,
  handshakeMs: 5_000,
  /** What init says of itself through the API: one answer, and all of them before the plan is shown. */
  reportSeconds: 5,
  logLinesShown: 20,
  /** More are not to be believed. */
  openSessionsMax: 100_000,
  censusAtOnceMax: 16,
  censusMs: 30_000,
  /** How often a machine is asked whether its sessions are over. */
  drainPollMs: 2_000,
  /** The journal: a machine needs about a kilobyte, a resumed one as much again. */
  journalBytesMax: 32 << 20,
  journalsKept: 50,
  idAttemptsMax: 1_000,
  wordsMax: 500,
  /** Shown of a machine that failed. */
  eventsShown: 20,
  tableRowsMax: 20,
  drawEveryMs: 100,
  drawAnywayMs: 1_000,
  registryMs: 10_000,
  registryBytesMax: 64 << 10,
} as const;
