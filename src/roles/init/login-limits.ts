/** Bounds of what people who have not proved anything may cost us. Times are milliseconds. */
export const loginLimits = {
  /** Fly gives a machine about one token a second, with a burst of three. */
  mintEveryMs: 1000,
  mintBurst: 3,
  /** The last of eight has its turn after 8 s, and its client waits 10 s for evidence. */
  mintQueueMax: 8,
  mintWaitMs: 8500,
  /** Fly counts for itself and may say 429 to a call that our own count allows. */
  mintTriesMax: 3,

  /** Connections between handshake and ACCEPT; each lasts `loginMs` of the protocol at most. */
  pendingMax: 64,

  /** A wrong proof is answered after this long whatever we did with it, and so many wait at a time. */
  refusalSlotMs: 250,
  refusalsMax: 64,

  logEveryMs: 1000,
} as const;
