import type { BrokerRequest } from "../decision.ts";
import { proxyLimits } from "../limits.ts";
import { Spacing } from "./spacing.ts";
import { TokenBucket } from "../../../system/token-bucket.ts";

/** What the broker is asked for. It has limits of its own; these keep the pipe to it short. */
export class BrokerDesk {
  readonly #lookups = new Desk(
    new Spacing<string>(proxyLimits.lookupEveryMs, proxyLimits.askedMachinesMax),
    new TokenBucket({ perSecond: proxyLimits.lookupsPerSecond, burst: proxyLimits.lookupsBurst }),
  );
  readonly #starts = new Desk(
    new Spacing<string>(proxyLimits.startEveryMs, proxyLimits.askedMachinesMax),
    new TokenBucket({ perSecond: proxyLimits.startsPerSecond, burst: proxyLimits.startsBurst }),
  );
  #requests: BrokerRequest[] = [];

  /** Whether somebody looks, or did a moment ago. */
  lookup(machineId: string, nowMs: number): boolean {
    return this.#ask(this.#lookups, { kind: "lookup", machineId }, nowMs);
  }

  start(machineId: string, nowMs: number): boolean {
    return this.#ask(this.#starts, { kind: "start", machineId }, nowMs);
  }

  isStarting(machineId: string, nowMs: number): boolean {
    return this.#starts.wasAsked(machineId, nowMs);
  }

  takeRequests(): readonly BrokerRequest[] {
    const requests = this.#requests;
    if (requests.length > 0) this.#requests = [];
    return requests;
  }

  #ask(desk: Desk, request: BrokerRequest, nowMs: number): boolean {
    const asked = desk.ask(request.machineId, nowMs);
    if (asked === "now") this.#requests.push(request);
    return asked !== "no";
  }
}

class Desk {
  readonly #spacing: Spacing<string>;
  readonly #bucket: TokenBucket;

  constructor(spacing: Spacing<string>, bucket: TokenBucket) {
    this.#spacing = spacing;
    this.#bucket = bucket;
  }

  wasAsked(machineId: string, nowMs: number): boolean {
    return this.#spacing.has(machineId, nowMs);
  }

  ask(machineId: string, nowMs: number): "now" | "before" | "no" {
    if (this.wasAsked(machineId, nowMs)) return "before";
    if (!this.#spacing.allows(machineId, nowMs) || !this.#bucket.take(nowMs)) return "no";
    this.#spacing.note(machineId, nowMs);
    return "now";
  }
}
