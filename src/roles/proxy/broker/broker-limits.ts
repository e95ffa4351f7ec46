/** Every bound of the broker. Sizes are bytes, times are milliseconds. */
export const brokerLimits = {
  // The directory.
  machinesMax: 32_768,
  /** Between tries until the first list is there; doubled up to the usual interval. */
  firstListRetryMs: 1000,
  /** A machine is gone when so many lists in a row lack it. */
  listsWithoutMin: 2,
  /** The same, of a list that lacks more than half of all machines: it is rather the list that is wrong. */
  shrunkenListsWithoutMin: 20,
  shrunkenMachinesMin: 10,
  /** With a list older than this the proxy is not well. */
  directoryAgeMsMax: 300_000,

  // Looking up one machine.
  unknownLookupsPerSecond: 1,
  unknownLookupsBurst: 3,
  unknownLookupPauseMs: 10_000,
  /** Of a machine there is: when it does not answer, or is on its way to another state. */
  knownLookupsPerSecond: 5,
  knownLookupsBurst: 10,
  knownLookupPauseMs: 2000,
  lookupsRememberedMax: 4096,

  // Starting machines. Fly says: one call a second, three at once.
  startsPerSecond: 1,
  startsBurst: 3,
  startsPerMinuteMax: 30,
  startsPerHourPerMachineMax: 20,
  startsPerDayPerMachineMax: 100,
  startPauseMs: 10_000,
  startPauseMsMax: 300_000,
  startsInFlightMax: 64,
  startsRememberedMax: 16_384,
  startWaitMs: 120_000,

  // The two other processes.
  /** What their garbage collectors take the memory of the computer for: garbage is a part of it at the most. */
  childRamBytes: 128 * 1024 * 1024,
  childListenMs: 15_000,
  /** They report every second; one that says nothing for so long stands still. */
  childSilentMs: 10_000,
  childStopMs: 500,
  childRestartPauseMs: 20,
  childRestartPauseMsMax: 5000,
  childHealthyMs: 10_000,
  childRestartsPerMinuteMax: 20,
  /** A relay that never listened is not tried more often: its addresses are wrong. */
  relayFirstTriesMax: 5,
  reportLineBytesMax: 64 * 1024,
  reportsPerSecondMax: 20,
  requestsPerSecondMax: 1000,
  outboxWriteBytes: 16 * 1024,
  reportedNamesMax: 256,

  /** How often metrics and health are made anew. */
  tickMs: 1000,

  // The log.
  logLinePauseMs: 1000,

  // Options.
  drainMs: 4000,
  drainMsMax: 300_000,
  refreshIntervalMs: 15_000,
  refreshIntervalMsMin: 1000,
  refreshIntervalMsMax: 3_600_000,
  sessionTimeoutMs: 180_000,
  sessionTimeoutMsMin: 5000,
  sessionTimeoutMsMax: 86_400_000,
  machineMbitMax: 100_000,
  listenAddressesMax: 8,
  keyFileBytesMax: 4096,
  secretsBytesMax: 16 * 1024,
} as const;
