/** Every bound of the proxy. Sizes are bytes, times are milliseconds. */
export const proxyLimits = {
  // Flows: a client's address and port, and the socket that stands for it at a machine.
  flowsMax: 16_384,
  flowsPerMachineMax: 64,
  /** Of one IPv4 address, or one /64 of IPv6. */
  flowsPerNetworkMax: 128,
  unconfirmedFlowsMax: 2048,
  unconfirmedFlowsPerNetworkMax: 16,
  unconfirmedFlowMs: 10_000,
  /** RFC 9000, 8.1: until a client has shown that it hears us. */
  unconfirmedBytesFactor: 3,
  newFlowsPerMachinePerSecond: 4,
  newFlowsPerMachineBurst: 16,

  // Each way, of one machine.
  machineBitsPerSecond: 200_000_000,
  machineDatagramsPerSecond: 20_000,
  /** How long at the full rate a bucket lasts that was left alone. */
  machineBurstMs: 250,

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
  recordsPerTurnMax: 512,
  requestsWaitingMax: 1024,
  reportMs: 1000,
} as const;
