/** Every bound of fly-local. "Fly says" are Fly's published figures, "we chose" are ours. */
export const localLimits = {
  /** Fly says: `wait` takes 1 to 60 seconds, 60 when nothing is said. */
  waitSecondsMax: 60,
  /** Fly says: default grace after the stop signal, and the longest one that can be configured. */
  stopGraceMs: 5_000,
  stopGraceMsMax: 300_000,
  /** Fly says: one request a second per action and id, bursts of three; five and ten for reading one machine. */
  actionPerSecond: 1,
  actionBurst: 3,
  readPerSecond: 5,
  readBurst: 10,
  /** Fly says: machines with more memory are not suspended. */
  suspendMemoryMbMax: 2_048,
  /** Fly says: an evidence token lives ten minutes. */
  tokenLifeSeconds: 600,
  /** Fly says: ten restarts within five minutes, then the machine stays down. */
  restartsMax: 10,
  restartWindowMs: 300_000,
  /** Fly says: events per answer, by default and at most. */
  eventsDefault: 20,
  eventsMax: 50,
  /** Fly says: rows per page of a list. */
  pageMax: 1_000,
  /** Fly says: a cursor dies half an hour after the first page. */
  cursorLifeMs: 30 * 60_000,
  /** We chose: what follows. */
  requestBytesMax: 1 << 20,
  audienceBytesMax: 1_024,
  machinesMax: 1_000,
  volumesMax: 1_000,
  appsMax: 100,
  /** Destroyed machines and volumes that lists still show. */
  tombstonesMax: 200,
  tombstoneMs: 24 * 3_600_000,
  waitersMax: 256,
  bucketsMax: 4_096,
  metadataKeysMax: 100,
  versionsMax: 20,
  /** Of what API instances that lag behind still see. */
  replicaCopiesMax: 256,
  replicaRecordsMax: 4_096,
  /** Longest lag that may be asked for, and longest time for a step of a machine that is only a record. */
  lagMsMax: 600_000,
  simulatedMsMax: 600_000,
  /** Machines that are only records cost nothing when the last moments are lost. */
  lazySaveMs: 200,
  logBytesMax: 16 << 20,
  upkeepMs: 15_000,
  /** Longer than the longest wait, so that a client that waits in turns keeps its connection. */
  keepAliveMs: 90_000,
  /** Of health checks whose configuration says nothing, the shortest that is done, and how many at once. */
  checkIntervalMs: 10_000,
  checkTimeoutMs: 2_000,
  checkMsMin: 100,
  checksAtOnceMax: 64,
  restartDelayMs: 1_000,
  restartDelayMsMax: 30_000,
  /** How often a process that is not our child any more is looked for. */
  adoptedPollMs: 150,
  /** How often a machine that is suspended is looked through for processes that still run. */
  freezeRoundsMax: 50,
  /** How often, and how long apart, one looks whether what was killed has gone. */
  sweepRoundsMax: 200,
  sweepPauseMs: 5,
  /** Commands that are run through the API: their output, and how many there are at once. */
  execSecondsDefault: 30,
  execSecondsMax: 60,
  execOutputBytesMax: 1 << 20,
  execAtOnceMax: 32,
  signingKeysMax: 3,
  addressAttemptsMax: 50,
  leaseSeconds: 30,
  leaseSecondsMax: 3_600,
  /** Of a fault script. */
  faultsMax: 1_000,
  faultCountMax: 1_000_000,
  faultMsMax: 600_000,
  faultBytesMax: 64 << 20,
  strangersLeaseMs: 60_000,
  /** How many of the last calls are remembered for whoever asks what was called. */
  callsRemembered: 20_000,
  /** A Unix socket's path has 107 bytes, and ours lie below `STATE/machines/ID/`. */
  stateDirBytesMax: 64,
} as const;
