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
} as const;
