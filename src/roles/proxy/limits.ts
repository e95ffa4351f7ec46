/** Every bound of the proxy. Sizes are bytes, times are milliseconds. */
export const proxyLimits = {
  // Flows: a client's address and port, and the socket that stands for it at a machine.
  flowsMax: 16_384,
  flowsPerMachineMax: 64,
  /** Of one IPv4 address, or one /64 of IPv6. */
  flowsPerNetworkMax: 128,
  /** To different machines: whoever forges a client's address cannot push its flow aside. */
  flowsPerTupleMax: 4,
  unconfirmedFlowsMax: 2048,
  unconfirmedFlowsPerNetworkMax: 16,
  unconfirmedFlowMs: 10_000,
  /** So long no newcomer takes its place: a round trip, in which it may be confirmed. */
  unconfirmedGraceMs: 1000,
  /** A client's keep-alives come twice as often; one that sends none may make room for another. */
  idleBeforeEvictionMs: 30_000,
  /** RFC 9000, 8.1: until a client has shown that it hears us. */
  unconfirmedBytesFactor: 3,
  /** By admission, and the same again by ids. */
  newFlowsPerMachinePerSecond: 4,
  newFlowsPerMachineBurst: 16,
  /** An admission again, so long after one without an answer: the machine may have been stopped. QUIC repeats it after a second. */
  unansweredMs: 500,
  /** Between two looks for flows that are over. */
  sweepMs: 1000,

  // Each way, of one machine.
  machineBitsPerSecond: 400_000_000,
  machineDatagramsPerSecond: 40_000,
  /** How long at the full rate a bucket lasts that was left alone. */
  machineBurstMs: 250,

  // Machines. A list of more is cut, and says so.
  machinesMax: 20_000,
  /** For so long one that is not there is not looked up again. */
  goneMs: 60_000,
  goneMachinesMax: 4096,
  /** Keys made from a master that are kept; to make one anew takes half a microsecond. */
  keysPerEpochMax: 8192,

  // While a machine starts.
  heldDatagramsPerMachineMax: 4,
  heldBytesPerMachineMax: 6144,
  heldBytesMax: 4 * 1024 * 1024,
  heldMs: 20_000,

  // What the broker is asked for; it has limits of its own.
  lookupEveryMs: 2000,
  lookupsPerSecond: 5,
  lookupsBurst: 20,
  startEveryMs: 10_000,
  startsPerSecond: 20,
  startsBurst: 50,
  /** Machines that something was asked about within these times. */
  askedMachinesMax: 4096,

  // Hints.
  hintEveryMs: 1000,
  hintedMachinesMax: 16_384,
  drainHintsPerTick: 1024,

  // Checks of tags, and the same again of ids that no flow is known by: some 15 % of a core at the most.
  checksPerSecond: 30_000,
  checksBurst: 10_000,
  /** The last of those are for clients that have a flow. */
  checksForFlows: 1000,
  /** Of one flow's address and port; after these it stands behind strangers. A client has a new id now and then. */
  checksPerFlowPerSecond: 50,
  checksPerFlowBurst: 100,
  /** What one wrong tag adds, from which sum on it counts, and the most of it. */
  penaltyPerBadTagMs: 1000,
  penaltyMsMin: 3000,
  penaltyMsMax: 60_000,
  penaltyNetworksMax: 65_536,

  // Of clients without keys (`--open`), by network.
  openFlowsPerNetworkPerSecond: 1,
  openFlowsPerNetworkBurst: 8,
  openStartsPerNetworkPerMinute: 1,
  openNetworksMax: 16_384,

  // The loop that moves datagrams. A slot takes one datagram, or up to 64 equal ones that came joined.
  batchSlots: 64,
  /** While flows have something to carry, this many admissions and the like come between. */
  admissionSlotsWhenBusy: 8,
  slotsPerUpstreamTurn: 8,
  upstreamsPerTurnMax: 64,
  publicBufferBytes: 8 * 1024 * 1024,
  admissionBufferBytes: 2 * 1024 * 1024,
  upstreamBufferBytes: 256 * 1024,
  /** Datagrams of one flow that its socket does not take at once; then the oldest are lost. */
  upstreamQueueMax: 64,
  upstreamQueuesBytesMax: 4 * 1024 * 1024,
  /** Beside those of flows. */
  descriptorsElse: 256,
  tickMs: 250,
  /** How long Bun's own events may have to wait for their turn. */
  turnsMs: 100,
  recordsPerTurnMax: 64,
  requestsWaitingMax: 1024,
  reportMs: 1000,
  relaySecretsBytesMax: 4096,
} as const;
