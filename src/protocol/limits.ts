/**
 * Every bound of the protocol. Sizes are bytes, times are milliseconds.
 * The figures marked 4A are the ones the login was analysed with; the rest we chose.
 */
export const limits = {
  /** Login messages (4A.2). */
  helloBytes: 37,
  jwtBytesMax: 4096,
  evidenceBytesMax: 36 + 4096,
  proofBytes: 32,
  acceptBytesMax: 1024 + 32,

  /** Login times (4A.4). The client's wait covers the machine's queue for evidence. */
  helloWaitMs: 3000,
  evidenceWaitMs: 10_000,
  proofWaitMs: 10_000,
  loginMs: 20_000,
  acceptWaitMs: 10_000,

  /** Frames on streams. Bulk frames are small enough to keep one stream from hogging memory. */
  requestBytesMax: 256 * 1024,
  replyBytesMax: 1024 * 1024,
  errorBytesMax: 4096,
  /** Words of an error: with every byte escaped they still fit its frame. */
  messageBytesMax: 1024,
  hintBytesMax: 512,
  /** Why a root filesystem was left: travels in ACCEPT, which is small. */
  becauseBytesMax: 256,
  dataBytesMax: 64 * 1024,
  controlBytesMax: 4096,

  /** Requests. */
  argvItemsMax: 4096,
  envItemsMax: 1024,
  textBytesMax: 128 * 1024,
  terminalModesMax: 159,
  nameBytesMax: 64,
  noteBytesMax: 1024,
  urlBytesMax: 8192,
  hostBytesMax: 255,
  /** What a client calls itself, what it says of its surroundings, a terminal's description in base64. */
  labelBytesMax: 64,
  ambientItemsMax: 32,
  terminfoCharsMax: 44 * 1024,
  /** Forwards: what fits one UDP datagram over IPv4, and the address of a Unix socket. */
  datagramBytesMax: 65_507,
  socketPathBytesMax: 4095,
  /** Ports that a machine tells of; its frame holds them with the longest names there are. */
  portsMax: 256,
  portsBytesMax: 256 * 1024,
  /** Sessions in a list, and how much of each command and note it shows. */
  sessionsMax: 512,
  listedCharsMax: 1024,
  /** Lines of init's own log that it keeps and tells. */
  logLinesMax: 200,

  /** Sessions: output kept for a client that is away (per stream), and finished sessions kept. */
  ringBytes: 4 * 1024 * 1024,
  ringsBytesMax: 256 * 1024 * 1024,
  finishedKeptMs: 24 * 60 * 60 * 1000,

  /** Output a client has shown but not yet acknowledged; half a megabyte costs one small frame. */
  outputAckBytes: 512 * 1024,
  /** Stdin sent but not yet taken by the process: what a client keeps for resending, a server for the process. */
  stdinWindowBytes: 1024 * 1024,
  /** Clients whose stdin position a session remembers; beyond it the one longest away is forgotten. */
  inputsMax: 16,

  /** A measurement of speed is over by then, whatever was asked for. */
  speedMsMax: 30_000,
  /** A resumable stream: sent but not yet taken by the other end, which is what each end keeps for resending. */
  resumableWindowBytes: 2 * 1024 * 1024,
  resumableAckBytes: 256 * 1024,
  /** SSH connections that a client may say to be over, with the request for one. */
  sshEndedMax: 64,
  /** An agent that is offered: connections to it at once, and what waits to be read of one. */
  agentConnectionsMax: 32,
  agentQueueBytesMax: 512 * 1024,
  /** Copies: a name of Linux, the longest link, and both with all that is said of a file. */
  fileNameBytesMax: 255,
  fileLinkBytesMax: 4096,
  fileEntryBytesMax: 4096 + 512,
  fileContentBytesMax: 256 * 1024,
  /** A small file travels as a whole. */
  fileWholeBytesMax: 64 * 1024,
  /** One hole is hashed in one go. */
  fileHoleBytesMax: 32 * 1024 * 1024,
  fileChunksPerFrameMax: 3000,
  /** Of one file: its chunks grow so that it has no more on average than half of it. */
  fileChunksMax: 128 * 1024,
  /** Announced and not done yet: what both sides remember of a copy. */
  fileWindow: 1024,
  filePathsMax: 1024,
  filePathBytesMax: 4096,
  filePatternsMax: 256,

  /** A recipe of an archive: its items, 20 bytes or less each; one of them; what is packed together. */
  recipeItemsMax: 2 ** 20,
  recipeBytesMax: 2 ** 20 * 20,
  pieceBytesMax: 256 * 1024,
  batchBytesMax: 1024 * 1024,
  /** A bit for each piece. */
  lackingBytesMax: 2 ** 20 / 8,

  /** An absolute offset must stay exact in a JavaScript number. */
  offsetMax: Number.MAX_SAFE_INTEGER,
} as const;

/** TLS application protocol; its number changes only when the first messages cannot be read any more. */
export const alpn = "fly-vault/1";

/** Range of protocol versions this build speaks; HELLO carries the newest, `status` the range. */
export const protocolVersion: { readonly oldest: number; readonly newest: number } = {
  oldest: 1,
  newest: 1,
};
