/** Bounds of TCP and Unix sockets. Sizes are bytes, times are milliseconds. */
export const socketLimits = {
  /** Received but not read: reading from the system stops here. */
  queuedBytesMax: 256 * 1024,
  /** Joined into one write when two streams are spliced. */
  batchBytesMax: 64 * 1024,
  /** Datagrams that wait for a stream; beyond it they are dropped. */
  queuedDatagramsMax: 256,
  connectMs: 10_000,
  /** Open connections of one listener. */
  connectionsMax: 256,
  /** Of the kernel's list of sockets: at a time, and in all. */
  socketTableReadBytes: 16 * 1024,
  socketTableBytesMax: 256 * 1024,
} as const;
