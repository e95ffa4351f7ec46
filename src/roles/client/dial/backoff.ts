import { clientLimits } from "../limits.ts";

/**
 * Wait before attempt `attempt` (0 is the first): none, then doubling up to a maximum, spread by up
 * to a quarter so that many clients of one proxy do not come back in step. `random` is 0 to 1.
 */
export function backoffMs(attempt: number, random: number): number {
  if (attempt <= 0) return 0;
  const doubled = clientLimits.retryFirstMs * 2 ** Math.min(attempt - 1, 16);
  return Math.min(doubled, clientLimits.retryMaxMs) * (0.75 + random / 4);
}
