import { quicLimits } from "./limits.ts";

/**
 * Whether a stranger may start a handshake now. As OpenSSH's MaxStartups 32:30:256: below 32
 * unfinished handshakes everybody, then ever fewer at random, none at 256. Random, so that a flood
 * cannot shut an honest client out for good.
 */
export function admitsStranger(halfOpen: number, random: () => number): boolean {
  const { halfOpenEarlyDrop, halfOpenEarlyDropPercent, halfOpenMax } = quicLimits;
  if (halfOpen < halfOpenEarlyDrop) return true;
  if (halfOpen >= halfOpenMax) return false;
  const span = halfOpenMax - halfOpenEarlyDrop;
  const rising = ((100 - halfOpenEarlyDropPercent) * (halfOpen - halfOpenEarlyDrop)) / span;
  return random() * 100 >= halfOpenEarlyDropPercent + rising;
}
