/** Bounds of the client. Sizes are bytes, times are milliseconds; the figures are ours. */
export const clientLimits = {
  configBytesMax: 1024 * 1024,
  namesListedMax: 10,
  /** Folders looked into for a project file, from the current one upwards. */
  projectFoldersMax: 64,
  /** How long another run that is changing the configuration is waited for. */
  configLockMs: 5000,
  inviteBytesMax: 16 * 1024,
  tokenBytesMax: 4096,
  tokenCommandMs: 30_000,
  /** What it printed is read for so long after its end, where something it started keeps the pipe. */
  tokenLastMs: 250,

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

  /** Without any reply over UDP for so long, TCP is tried beside it. */
  tcpAfterMs: 400,
  /**
   * What is there over TCP waits so long for UDP, counted from the start: a slow network is not one that
   * lets no UDP out, and the difference is remembered.
   */
  tcpPatienceMs: 800,
  /** How long a network is taken for one that lets no UDP out. */
  udpBlockedMs: 60 * 60_000,
  /** How often it is looked at meanwhile, by a command that dials anyway, and how long that may cost. */
  udpProbeEveryMs: 5 * 60_000,
  udpProbeMs: 300,
  /** And when TCP is not answered either. */
  udpAfterMs: 1500,
  blockedNetworksMax: 64,

  /** A WebSocket: TCP, TLS and its own handshake; when to look whether it failed; its goodbye. */
  webOpenMs: 5000,
  webAgainMs: [200, 500, 1000, 2000, 3000, 4000],
  webCloseMs: 1000,
  /** What may wait in our memory for the network: more would only add to the delay. */
  webBufferedBytesMax: 256 * 1024,

  /** A machine that its proxy says to be starting is waited for so much longer in all. */
  startingMoreMs: 60_000,
  /** How often it is asked again meanwhile, and how long each of those attempts lives. */
  startingAgainMs: 2000,
  startingAttemptMs: 10_000,
  /** After the proxy's word that it cannot be started: for another answer that is better. */
  verdictMs: 1500,

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
  /** A proxy that goes is left at most so often, and the next one is to answer within this time. */
  moveEveryMs: 10_000,
  moveAnswerMs: 3000,
  /** The clock jumped by so much: the laptop slept. */
  clockJumpMs: 5000,
  /** Scripts give a lost link up after this long. */
  reconnectMs: 2 * 60_000,

  /** Connections to a forwarded port that wait for a lost link. */
  forwardWaitMs: 10_000,
  /** One that is added: its turn, and the vault's word on it. Less than who asks for it waits (`controlAnswerMs`). */
  forwardAddMs: 12_000,
  forwardConnectionsMax: 256,
  forwardPortsMax: 256,
  /** Ports that the vault listens on for us. */
  remotePortsMax: 32,
  /** Peers of one forwarded UDP port; one that is silent both ways for so long is forgotten. */
  udpPeersMax: 64,
  udpIdleMs: 60_000,
  /** One that was silent for less does not give way to another where all places are taken. */
  udpBusyMs: 1000,
  /** Datagrams of a peer that wait for its stream. */
  udpEarlyMax: 16,
  /** Forwards that came by themselves, and how many ports are remembered beyond them. */
  autoForwardsMax: 64,
  /** Lines of ours in a console: how long it must be quiet for them, how long they wait for that, how many wait. */
  noteQuietMs: 150,
  noteHeldMs: 3000,
  noteLinesMax: 64,
  /** Ports that are tried for one to propose instead. */
  portsTriedMax: 64,
  /** One line about the same trouble in so much time, and troubles that are told apart. */
  noteEveryMs: 5000,
  notesMax: 64,
  /** `-W`: the target has ended, and standard input has said nothing for so long. */
  stdioSilentMs: 1000,
  /** And what is on its way to it is waited for at most so long. */
  stdioDeliveryMs: 10_000,
  /** What a SOCKS client may take to say where it wants to go. */
  socksMs: 10_000,
  socksBytesMax: 1024,
  /** One message to or from an ssh-agent, as OpenSSH has it. */
  agentMessageBytesMax: 256 * 1024,
  /** Body of a request of the control socket. */
  controlBodyBytesMax: 1024 * 1024,
  /** From a question to another process of ours to its answer. */
  controlAnswerMs: 15_000,
  /** From the start of a console until others find its forwards. */
  registerAfterMs: 300,
  /** Control sockets that are looked at. */
  controlSocketsMax: 256,
  /** /proc is looked through for who has a port. */
  holderProcessesMax: 4096,

  /** An archive is read in such pieces: each costs a turn of the program. */
  archiveReadBytes: 256 * 1024,
  /** A smaller archive is sent before it is compared. */
  deltaBytesMin: 2 * 1024 * 1024,
  /** Of a packed one of which more than this is lacking all is sent: it may be packed better than we do it on the way. */
  deltaShareMax: 0.8,
  /** Lost so often one after the other before the machine took a byte more of what it lacks, all is sent. */
  deltaIdleResumesMax: 2,
  /** A lost link is waited for as long as the machine waits for the rest of an upload. */
  provisionReconnectMs: 5 * 60_000,
  /** A machine that was restarted in the middle is asked again from the start, so often. */
  provisionRestartsMax: 3,
  /** From Ctrl-C to the machine's word that all is as it was; it removes what was unpacked first. */
  cancelMs: 10_000,

  /** `ping --count`, and how much of a log goes into a bundle. */
  pingsMax: 10_000,
  bundleLogBytesMax: 4 * 1024 * 1024,
  /** A shell that others start and end, or whose free name they take, at the same moment is tried for again so often. */
  shellTriesMax: 16,
  /** A session is found by the beginning of its id from so many characters on; lists show so many. */
  idPrefixCharsMin: 4,
  idShownChars: 8,
  /** Of a command in a list on a terminal that is narrow. */
  listedCommandCharsMin: 16,
  /** A longer wait of setTimeout would end at once. */
  waitMsMax: 2 ** 31 - 1,
  /** Typed ahead of a session that takes nothing, beyond its window; escape keys are seen up to here. */
  typedBytesMax: 1024 * 1024,
  /** One line of `~C`, or an answer at a prompt. */
  promptBytesMax: 1024,
  /** For what was typed before `~.` to get there: the key is to act at once. */
  leaveMs: 100,
  /** For last words on a terminal that takes no output. */
  lastWordsMs: 50,
  /** Of a compiled terminal description; ncurses itself takes no larger one. */
  terminfoBytesMax: 32 * 1024,
  /** The name of a language or a terminal: a longer one is none. */
  ambientCharsMax: 256,
  /** Files that were not copied and are named in the end; the others are counted. */
  copyTroublesMax: 10,
  /** What -i asks about, and an answer. */
  copyQuestionsMax: 1000,
  answerCharsMax: 256,
  /** Copies that break off in a row with nothing copied. */
  copyAttemptsInVainMax: 4,

  /** From the request to its reply. */
  replyMs: 30_000,
  /** For the last words of a session that is over. */
  farewellMs: 500,

  /** The background link: ends so long after its last command, unless the vault says otherwise. */
  linkIdleMs: 10 * 60_000,
  linkIdleMsMax: 24 * 60 * 60_000,
  /** What is known to send so much has a link of its own: a process and a copy of each byte less. */
  bulkBytesMin: 64 * 1024 * 1024,
  /** What was proven so long ago is proven anew for the next command. */
  linkAgeMs: 8 * 60 * 60_000,
  /** One that is not up ends so long after its last command. */
  linkOrphanMs: 2000,
  /** How often it looks whether the vault's configuration and its own socket are still there. */
  linkLookMs: 1000,
  /**
   * Without a command for so long it rests: it gives memory back, and looks at all this, and at its link,
   * only so often. Below `clockJumpMs`, or each look would seem to be a sleep.
   */
  linkRestAfterMs: 30_000,
  restLookMs: 2000,
  /** What it knows of the machine's state is asked for again after this time. */
  linkStatusMs: 10_000,
  /** From its start until it takes commands; for its first word to one; for its end after `stop`. */
  linkStartMs: 5000,
  linkWelcomeMs: 2000,
  linkStatsMs: 500,
  linkStopMs: 3000,
  /** A command that finds it down waits so long for it, then dials by itself. */
  linkDownMs: 3000,
  /** While another command starts it: how often to look. */
  linkStartPollMs: 5,
  linkClientsMax: 256,
  linkSocketsMax: 2048,
  /** Sent, but not taken by the other side: of each stream, in each direction. */
  linkWindowBytes: 2 * 1024 * 1024,
  linkDataBytesMax: 64 * 1024,
  linkMessageBytesMax: 256 * 1024,
  linkPlanBytesMax: 1024 * 1024,
  /** Of what is told to a command: what waits for one that does not listen. */
  linkNoticesMax: 100,
  linkListMax: 256,
  /** A build that was stopped: its engine removes what it made. */
  buildEndMs: 20_000,
  /** `stop --wait`: services have their time to end in. */
  stopWaitMs: 120_000,
  /** What an address of a Unix socket has room for, without the zero at its end. */
  socketPathBytesMax: 107,
  /** Names for completion: who pressed a key waits for them. */
  completionMs: 50,
} as const;
