import { brokerLimits } from "./broker-limits.ts";

export interface Health {
  readonly ok: boolean;
  /** Shown to anybody who asks: nothing that helps a stranger. */
  readonly why: string;
}

/** Whether this proxy should get new clients. */
export function healthOf(proxy: {
  readonly relayListens: boolean;
  readonly isSynced: boolean;
  readonly directoryAgeMs: number;
  readonly draining: boolean;
}): Health {
  if (proxy.draining) return { ok: false, why: "draining" };
  if (!proxy.relayListens) return { ok: false, why: "not listening" };
  if (proxy.directoryAgeMs > brokerLimits.directoryAgeMsMax)
    return { ok: false, why: "the list of machines is old" };
  return { ok: true, why: proxy.isSynced ? "ok" : "ok, the list of machines is still to come" };
}
