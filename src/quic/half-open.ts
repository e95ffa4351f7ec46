import { quicLimits } from "./limits.ts";

/**
 * Whether a stranger may start a handshake now. As OpenSSH's MaxStartups 32:30:256: below 32
 * unfinished handshakes everybody, then ever fewer at random, none at 256. Random, so that a flood
 * cannot shut an honest client out for good.
 */
export function admitsStranger(halfOpen: number, random: () => number): boolean {
  const from = quicLimits.halfOpenEarlyDrop;
  const to = quicLimits.halfOpenMax;
  if (halfOpen < from) return true;
  if (halfOpen >= to) return false;
  const least = quicLimits.halfOpenEarlyDropPercent;
  const rising = ((100 - least) * (halfOpen - from)) / (to - from);
  return random() * 100 >= least + rising;
}
