import { sshLimits } from "./limits.ts";

/** Resolves once nothing was busy for `idleMs`, by looking every `lookMs`. */
export async function untilIdle(
  isBusy: () => boolean,
  { idleMs, lookMs }: { readonly idleMs: number; readonly lookMs: number } = {
    idleMs: sshLimits.idleMs,
    lookMs: sshLimits.idleLookMs,
  },
): Promise<void> {
  let idleSinceMs = performance.now();
  for (;;) {
    await Bun.sleep(lookMs);
    if (isBusy()) idleSinceMs = performance.now();
    if (performance.now() - idleSinceMs >= idleMs) return;
  }
}
