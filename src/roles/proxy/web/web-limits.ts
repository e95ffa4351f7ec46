import { quicLimits } from "../../../quic/limits.ts";
import { admissionBytes } from "../../../quic/admission-header.ts";

/** Every bound of the web process. Sizes are bytes, times are milliseconds. */
export const webLimits = {
  /** The largest datagram behind an admission header. */
  messageBytesMax: quicLimits.datagramBytesOptionMax + admissionBytes,

  connectionsMax: 4096,
  /** Of one IPv4 address, or one /64 of IPv6: an office behind one address has to fit. */
  connectionsPerNetworkMax: 128,
  /** Those that nothing came back for yet; one more, and the oldest of them has to go. */
  unadmittedMax: 1024,
  unadmittedMs: 10_000,
  idleMs: 180_000,

  /** From one client; more are dropped, as a full link would. */
  datagramsPerSecond: 40_000,
  datagramsBurst: 20_000,
  /** From one that nothing came back for yet. */
  strangersPerSecond: 100,
  strangersBurst: 256,
  /** Datagrams for a client that does not read so fast are dropped from here on. */
  bufferedBytesMax: 1024 * 1024,
  /** Of all clients together; with more than that, each may have so much only. */
  bufferedBytesTotalMax: 64 * 1024 * 1024,
  bufferedBytesShort: 16 * 1024,

  /** A request that is no WebSocket has no body that we want. */
  requestBytesMax: 1024,
  requestIdleMs: 10_000,
  /** The text for /metrics is about 20 KiB. */
  orderBytesMax: 1024 * 1024,
  sweepEveryMs: 1000,
  reportEveryMs: 1000,
} as const;
