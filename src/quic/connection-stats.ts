import type { ConnectionStats } from "./connection.ts";
import type { QuicheConnection } from "./quiche-connection.ts";

/** What quiche counts, and what it does not see. */
export function connectionStats(
  quiche: QuicheConnection,
  beside: { readonly moves: number; readonly questions: number; readonly datagramBytes: number },
): ConnectionStats {
  const stats = quiche.stats();
  const [path] = quiche.paths();
  return {
    rttMs: path?.rtt ?? 0,
    sentBytes: stats.sentBytes,
    receivedBytes: stats.recvBytes,
    // In the dark there are no other packets, and whoever counts is to see that nothing comes back for them.
    sentPackets: stats.sent + beside.questions,
    receivedPackets: stats.recv,
    lostPackets: stats.lost,
    paths: 1 + beside.moves,
    datagramBytes: beside.datagramBytes,
  };
}
