/** Bounds of the client. Sizes are bytes, times are milliseconds; the figures are ours. */
export const clientLimits = {
  configBytesMax: 1024 * 1024,
  namesListedMax: 10,
  tokenBytesMax: 4096,
  tokenCommandMs: 30_000,

  /** Finding the machine: all its addresses together, and the head start of each over the next. */
  dialMs: 5000,
  /**
   * When to ask once more, counted from the start: QUIC itself waits a second before it repeats a first
   * packet, and a machine that has just been started loses that one. The last is for a handshake that
   * the other side has forgotten.
   */
  dialAgainMs: [200, 400, 800, 1500],
  dialStaggerMs: 300,
  addressesMax: 8,

  /** The first login of a command, over all tries at a machine that is busy. */
  loginRetryMs: 10_000,

  /** A link that was lost: at once, then doubling. */
  retryFirstMs: 250,
  retryMaxMs: 5000,
  /** Packets went out and nothing came back for so long: first a new socket, then a new connection. */
  quietRebindMs: 3000,
  quietDeadMs: 6000,
  watchEveryMs: 500,
  /**
   * After the last packet that came in we ask for a sign of life, then again after twice the time: the
   * other side may wait for us at an address that a NAT has given away.
   */
  probeFirstMs: 1000,
  probeLastMs: 8000,
  /** The clock jumped by so much: the laptop slept. */
  clockJumpMs: 5000,
  /** Scripts give a lost link up after this long. */
  reconnectMs: 2 * 60_000,

  /** Connections to a forwarded port that wait for a lost link. */
  forwardWaitMs: 10_000,
  forwardConnectionsMax: 256,
  forwardPortsMax: 256,

  /** A lost link is waited for as long as the machine waits for the rest of an upload. */
  provisionReconnectMs: 5 * 60_000,
  /** A machine that was restarted in the middle is asked again from the start, so often. */
  provisionRestartsMax: 3,
  /** From Ctrl-C to the machine's word that all is as it was; it removes what was unpacked first. */
  cancelMs: 10_000,

  /** From the request to its reply. */
  replyMs: 30_000,
  /** For the last words of a session that is over. */
  farewellMs: 500,
} as const;
