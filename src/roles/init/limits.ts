/** Bounds of init. Sizes are bytes, times are milliseconds. */
export const initLimits = {
  /** Boot of a workload: from the start of unshare to the program that takes over. */
  bootMs: 15_000,
  /** A request for a session waits this long for a boot that is under way. */
  settleMs: 20_000,
  bootReportBytesMax: 4096,
  /** A PID 1 that ends is started again after a pause that doubles up to the second figure. */
  restartPauseMs: 500,
  restartPauseMsMax: 30_000,
  /** Having run this long counts as healthy: the pause starts from its smallest again. */
  healthyMs: 60_000,
  /** A reboot or power-off sooner than this after the start is no wish of anybody, but a failed boot. */
  bootingMs: 1000,
  /** After a provisioning an init of the image that ends sooner counts as one that does not boot. */
  trialMs: 1000,
  /** Without a kill timeout of the machine; Fly's own default is 5 s, and ours must end within it. */
  stopGraceMs: 4000,
  /** How often is looked whether an init of BusyBox that was asked to stop only sleeps by now. */
  lonelyLookMs: 25,
  /** After SIGKILL nothing but the kernel is waited for. */
  killWaitMs: 5000,
  /** How often the kernel's count of kills for want of memory is looked at, and how long after a kill a death is put down to it. */
  outOfMemoryLookMs: 1000,
  outOfMemoryMs: 2000,
  /** Entries of VAULT_OPEN_PORTS, and how long nft may take over its rules. */
  openingsMax: 64,
  nftMs: 5000,
  /** Lines PID 1 writes to its console go to our log, clipped; the rest of a flood is counted. */
  consoleLineBytesMax: 1024,
  consoleLinesPerSecond: 50,

  /** Link to keeper. One stream of a client is one connection. */
  keeperConnectionsMax: 1024,
  /** Of these for streams of clients; logins always find the keeper. */
  keeperStreamsMax: 896,
  keeperConnectMs: 5000,
  linkRestartPauseMs: 200,
  linkRestartPauseMsMax: 5000,
  linkHealthyMs: 30_000,
  linkStopMs: 2000,
  /** A link loads its program before it is needed, and binds its sockets while nobody else serves. */
  linkReadyMs: 15_000,
  linkListenMs: 10_000,
  linkReportBytesMax: 4096,
  clientConnectionsMax: 64,
  streamsPerConnectionMax: 256,
  firstFrameMs: 10_000,
  /** A reply that nobody reads is given up. */
  replyMs: 30_000,
  /** From our last word to the end of the client's half. */
  partingMs: 5000,
  forwardsMax: 512,
  forwardConnectMs: 10_000,
  /** Forwards that the keeper serves: connections to and from sockets in the guest. */
  guestForwardsMax: 320,
  /** Listeners of clients; connections that no client has taken yet, of all of them. */
  listenersMax: 64,
  waitingConnectionsMax: 128,
  /** Open connections of one listener. */
  listenerConnectionsMax: 256,
  /** Until a client takes a connection; until one takes a listener over that its client lost. */
  acceptMs: 10_000,
  listenerKeptMs: 30_000,
  /** Peers of forwarded UDP of all clients; one that is silent both ways for so long is forgotten. */
  udpPeersMax: 256,
  udpIdleMs: 60_000,
  /** Addresses of a name that are tried, and what is kept, for how long, for the next one where nobody answered yet. */
  udpAddressesMax: 4,
  udpUnansweredMax: 4,
  udpUnansweredBytesMax: 2048,
  udpUnansweredMs: 5000,

  /** How often is looked at who listens, while a client watches, and how many may watch. */
  portLookMs: 700,
  portWatchersMax: 64,
  /** One look: sockets, processes, and open files of each; between so many of them others have their turn. */
  portSocketsMax: 1024,
  portProcessesMax: 8192,
  portDescriptorsMax: 4096,
  portTurnSteps: 256,
  /** A socket whose process was not found so often is none of the guest's. */
  portMissesMax: 4,

  /** A machine that stops when nobody uses it: how often is looked, the least that may be set, how long before people are warned. */
  idleLookMs: 1000,
  idleStopMsMin: 2000,
  idleWarnMs: 5 * 60_000,
  /** How often the link says that bytes of clients pass. */
  trafficTellMs: 1000,

  /** How often the link looks whether the keeper is held up by a start that somebody stopped. */
  heldUpLookMs: 500,
  /** Without a request for so long keeper and link rest. More than `settleMs`: by then none waits for a start. */
  restAfterMs: 30_000,

  /** Sessions: processes that run at once, and sessions that ended and are remembered. */
  runningMax: 200,
  finishedMax: 256,
  sweepMs: 60_000,
  /** Clients that share one session; apart from them those that only read along, and those that wait for its end. */
  clientsPerSessionMax: 16,
  viewersPerSessionMax: 16,
  waitersPerSessionMax: 64,
  /** Stdin of all clients of a session that its program has not taken. */
  inputQueueBytesMax: 4 * 1024 * 1024,
  /** What may be set: output kept of each stream, and of all sessions together. */
  ringBytesMin: 1024 * 1024,
  ringBytesMax: 1024 * 1024 * 1024,
  ringsBytesMax: 64 * 1024 * 1024 * 1024,
  /** After the process ended, background children may hold its output open; silence this long ends it. */
  drainQuietMs: 100,
  drainLookMs: 20,
  drainLooksMax: 100,
  /** Pipes and terminals hold 64 KiB each, Bun reads up to as much ahead. */
  drainBytesMax: 1024 * 1024,
  /** The most one read of a pipe brings. */
  readBytesMax: 256 * 1024,
  /** Longer waits of setTimeout end at once. */
  timerMsMax: 2 ** 31 - 1,
  goodbyeMs: 1000,
  /** A client that left a session on pipes is waited for this long, with output held back, before output is dropped. */
  awayHoldMs: 5 * 60_000,
  /** From SIGTERM to SIGKILL when `timeout_ms` has run out. */
  timeoutKillMs: 10_000,
  /** /etc/passwd and /etc/group of the image. */
  accountFileBytesMax: 1024 * 1024,
  accountLinesMax: 20_000,
  /** Names in the archive of the image's locales; all that glibc has take 15 KiB. */
  localeNamesBytesMax: 256 * 1024,
  /** A size one row smaller stands so long before the true one: what is full-screen paints itself anew. */
  repaintMs: 30,

  /** Our own log, kept for those who ask in the machine, and how long they wait for the keeper. */
  recentLogCharsMax: 1024,
  selfReportMs: 2000,

  /** Processes of ours inside the guest's root, each for one stream of a client. */
  guestProcessesMax: 16,
  /** What such a process is told of memory: its collector runs before garbage grows beyond. */
  guestProcessHeapBytes: 128 * 1024 * 1024,
  /** A folder is held open for each file that is under way. */
  guestProcessDescriptors: 4096,
  /** From when its client has left to SIGKILL, and as long again at most. */
  guestProcessEndMs: 5000,

  /** A new root filesystem whose init ends within this time after its start gives way to the one before. */
  probationMs: 30_000,
  /** How so many provisionings ended is remembered, for clients that lost their link just then. */
  outcomesMax: 16,
} as const;
