/** Bounds of the SSH server. Sizes are bytes, times are milliseconds. */
export const sshLimits = {
  /** From its start to its socket. */
  startMs: 15_000,
  /** What the process is told of memory: its collector runs before garbage grows beyond. */
  heapBytes: 192 * 1024 * 1024,
  /** Without a connection for this long it ends, and is started again by the next one. */
  idleMs: 10 * 60_000,
  idleLookMs: 30_000,

  /** SSH connections, those of clients that are away included; of these the one longest away gives way. */
  connectionsMax: 64,
  /** A client that lost its link may come back for its connection. */
  awayMs: 12 * 60 * 60_000,
  /** From the connection to a user that is let in. */
  loginMs: 60_000,
  /** Of one connection: sessions and forwarded connections, and ports and sockets it listens on here. */
  channelsMax: 128,
  listenersMax: 32,
  /** An agent's client that does not answer so soon is not waited for alone. */
  agentOpenMs: 2000,
  /** Sockets of agents in a workload that does not run yet are tried again after this time. */
  agentAgainMs: 500,
  /** Variables and their text that a client may set for one session. */
  variablesMax: 128,
  variablesBytesMax: 64 * 1024,

  /** Not yet taken by the connection: no channel writes more before that. */
  transportBytesMax: 256 * 1024,
  /** Of a channel that nobody here reads from; its client may send a window more. */
  channelBytesMax: 64 * 1024,
  /** A target that takes nothing is given up so long after the client has closed the channel. */
  closingMs: 5000,
  hostKeyBytesMax: 4096,
} as const;
