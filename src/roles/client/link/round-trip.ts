/** The round trip as QUIC knows it, for people. The library counts whole milliseconds: less than one is 0 there. */
export function formatRoundTrip(rttMs: number): string {
  return rttMs < 1 ? "under 1 ms" : `${Math.round(rttMs)} ms`;
}
