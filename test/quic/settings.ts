import type { TransportSettings } from "../../src/quic/quiche-config.ts";

export const settings: TransportSettings = {
  alpn: "fly-vault/1",
  datagramBytesMax: 1200,
  idleMs: 60_000,
  connectionWindow: 131_072,
  streamWindow: 65_536,
  connectionWindowMax: 8_388_608,
  streamWindowMax: 4_194_304,
  peerStreamsMax: 16,
  congestionControl: "bbr",
};
