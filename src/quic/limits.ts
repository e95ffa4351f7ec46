/** Every bound of the QUIC driver. Sizes are bytes, times are milliseconds. */
export const quicLimits = {
  // The protocol says (RFC 9000).
  initialDatagramBytesMin: 1200,
  connectionIdBytesMax: 20,
  datagramBytesMax: 65_507,
  /** Codes are 62-bit numbers; we keep to those JavaScript holds exactly. */
  codeMax: Number.MAX_SAFE_INTEGER,
  /** The smallest datagram a stateless reset may have, and that may provoke one. */
  resetBytesMin: 21,

  // We chose: datagrams. 1200 passes everywhere (Fly's edge carries about 1300).
  datagramBytesBase: 1200,
  /** quiche makes no larger packets; four fit one `sendmsg`. Loopback alone carries them. */
  datagramBytesLoopback: 16_200,
  /** IPv6 over Ethernet. */
  datagramBytesNetwork: 1452,
  /** Beside the largest: Ethernet, IPv6 through WireGuard, and what Fly's edge carries (`PathSize`). */
  datagramBytesTried: [1452, 1372, 1300],
  datagramBytesOptionMax: 16_384,

  // Probes for larger datagrams.
  /** With less to send they would be most of what is sent. */
  searchSentBytes: 64 * 1024,
  searchRounds: 3,
  searchRoundMs: 100,
  /** Between two searches of one connection; twice as long after one that found nothing, up to what RFC 8899, 5.1.1 says. */
  searchPauseMs: 30_000,
  searchPauseMsMax: 600_000,
  /** So long a loss is no reason to doubt a size that was confirmed. */
  confirmedMs: 5000,

  /** Linux takes at most 64 segments in one UDP_SEGMENT send, and 64 KiB in all. */
  segmentsMax: 64,
  batchBytesMax: 65_000,
  socketBufferBytes: 8 * 1024 * 1024,
  /** A full socket is tried again after this time; the datagrams of one batch wait meanwhile. */
  socketRetryMs: 1,

  // Blocks that the kernel merged (`merged-datagrams.ts`).
  /** A line rarely carries larger datagrams. */
  searchedBlockBytesMin: 1500,
  /** Far more than a block of 64 KiB takes that one datagram of planted ids is in. */
  cutLooksMax: 65_536,

  // One event-loop turn.
  packetsPerTurn: 256,
  /** Goodbyes of one connection; more would be a fault of quiche. */
  packetsAfterEndMax: 64,
  /** From so much on a connection may have filled the peer's queue, where one goodbye is lost easily. */
  goodbyeRepeatSentBytes: 256 * 1024,
  /** Without a goodbye the peer would wait for its idle time. */
  goodbyeRepeats: 3,
  goodbyePauseMs: 20,
  /** Datagrams taken in before the answers go out, even if more wait in the socket. */
  datagramsBeforeFlush: 256,
  /** Native connections are freed only between turns, so strangers are let in a few at a time. */
  acceptsPerTurn: 16,
  strangersQueued: 64,

  // Connections of one endpoint.
  connectionsMax: 512,
  /** A native connection holds its keylog descriptor until it is collected. */
  forgottenBeforeCollection: 32,
  acceptQueueMax: 64,
  /** As OpenSSH's MaxStartups 32:30:256: from 32 half-open ones 30 % are dropped, at 256 all. */
  halfOpenEarlyDrop: 32,
  halfOpenEarlyDropPercent: 30,
  halfOpenMax: 256,
  handshakeMs: 10_000,
  connectTimeoutMsMax: 600_000,
  idleMs: 60_000,
  keepAliveMs: 15_000,
  retryTokenMs: 10_000,
  retryTokenBytesMax: 128,
  resetsPerSecond: 10,

  // Admission (`admission-gate.ts`).
  /** How far the clocks of client and machine may be apart. */
  admissionClockS: 90,
  /** The master of a proxy changes with two of them valid for a while. */
  admissionKeysMax: 2,
  replaysMax: 65_536,
  replaysPerMachineMax: 512,
  /** Admissions of one connection that a hint may answer. */
  askedTagsMax: 32,

  // Memory of one connection. A stranger gets the initial window; it grows only as we read.
  connectionWindowInitial: 131_072,
  /** Half of the connection's: a single stream is stopped by its own window, whose grants quiche does repeat. */
  streamWindowInitial: 65_536,
  connectionWindowMax: 8 * 1024 * 1024,
  streamWindowMax: 4 * 1024 * 1024,
  /**
   * Read from one connection before it must send: a quarter of the initial window, so that quiche
   * always grants more before the old grant is used up (see `Flusher.sendNow`).
   */
  readBytesBeforeSend: 16 * 1024,
  /** What one read of a stream gives at most: what goes on to a socket is cheaper in large pieces. */
  readBytesMax: 64 * 1024,
  /** What one stream may hand to quiche before the next stream has its turn. */
  writeQuantumBytes: 16 * 1024,
  /** A write of a packet at most goes before larger ones: somebody may wait for its answer. */
  promptBytesMax: 1200,

  /** Unread bytes kept for lost grants (see `Ballast`); with HELLO they fit one datagram. */
  ballastBytes: 512,
  /** A writer that could send nothing for so long says so, and again after twice the time. */
  blockedMs: 200,
  blockedMsMax: 10_000,

  // Streams that were given up (`GivenUp`).
  /** The distance to the second try, or two round trips; each time twice as far. */
  givenUpMs: 50,
  /** After 0.75 s, or 30 round trips, what has not ended is reset and stopped. With 20 % loss one in 600 hears no word. */
  givenUpTries: 4,
  /** More at once are reset at once. */
  givenUpMax: 512,

  streamsFromClient: 512,
  streamsFromServer: 16,
  /** Callers of `openStream` that may wait for the peer to allow another stream. */
  openWaitersMax: 1024,

  /** RFC 9000's minimum: addresses change below quiche (see `PeerAddress`), so no spare ids are needed. */
  connectionIds: 2,

  // Roaming: addresses that may be the peer's new one, until one has answered.
  /** Remembered, so that none is challenged too often. */
  candidatesMax: 4,
  candidateMs: 10_000,
  /** A challenge can be answered in the same epoch and the next one. */
  challengeEpochMs: 10_000,
  challengeEveryMs: 50,
  holdMsMax: 250,
  /** After a hold that no answer ended: else copies from ever new addresses would hold for ever. */
  holdEveryMs: 2500,

  // A line that is dark (`DarkWatch`).
  /** Silence that is unusual while something is unanswered: quiche's first probes are over on most lines. */
  darkMs: 300,
  /** A client asks every two-hundredth of the silence: so much longer an outage is for it, at most. */
  clientAsksShare: 200,
  clientAsksMs: 25,
  /** A machine may have many clients that left without a word, and asks each until it is given up: more rarely. */
  machineAsksShare: 50,
  machineAsksMs: 50,
  asksMsMax: 1000,
  /** More questions than that get no reply. */
  replyEveryMs: 10,
  /** A socket that was replaced is asked by as well for so long: perhaps only the line was dark, not its address dead. */
  formerSocketMs: 5000,
  /** What is due later than the idle time less this is the idle time itself, and nothing unanswered. */
  idleSlackMs: 1000,

  // Keys and their echoes on a line that loses packets (`KeyCopies`).
  /** A key with what quiche puts around it has 60 bytes; a line of a shell still fits. */
  copiedBytesMax: 200,
  /** With 5 % loss and one copy, one key in 200 is late, and those typed after it with it. */
  copies: 2,
  /** A burst of noise is mostly shorter, and nobody sees so little. */
  copyEveryMs: 10,
  /** Packets with copies to come: what the session acknowledges goes before the echo, and an echo may wait for it. */
  copiedMax: 3,
  /** How long a line counts as lossy after a loss. */
  lossyMs: 30_000,

  closeReasonBytesMax: 256,
  certificateBytesMax: 8192,
  keylogBytesMax: 16_384,
} as const;
