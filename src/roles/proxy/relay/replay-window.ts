import { quicLimits } from "../../../quic/limits.ts";
import { ReplaySet } from "../../../quic/replay-set.ts";

/**
 * Which tags are new: none is let in twice, whatever the clock does. A tag is remembered until the
 * clock is past all times at which it could pass, and for that the clock here never goes back: after
 * the machine's clock was set back it stands still until that has caught up.
 */
export class ReplayWindow {
  readonly #tags = new ReplaySet();
  #wallMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#tags.size;
  }

  /** What clients are to seal with, in milliseconds since 1970. */
  clock(wallMs: number): number {
    if (wallMs > this.#wallMs) this.#wallMs = wallMs;
    return this.#wallMs;
  }

  check(
    { machineId, tag, timeS }: { machineId: string; tag: Uint8Array; timeS: number },
    wallMs: number,
  ): "clock" | "replayed" | null {
    const nowMs = this.clock(wallMs);
    if (Math.abs(nowMs - timeS * 1000) > quicLimits.admissionClockS * 1000) return "clock";
    return this.#tags.add(machineId, tag, nowMs) ? null : "replayed";
  }
}
