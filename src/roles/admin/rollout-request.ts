import type { Call } from "./rollout-call.ts";
import type { StepRecord } from "./rollout-record.ts";
import type { TourStep } from "./rollout-step.ts";

/** What a step sends, and what the journal says of it before. */
export interface Request {
  readonly record: StepRecord | undefined;
  readonly call: Call;
}

export interface RequestContext {
  readonly machine: string;
  /** Of the lease that is held, else one that may be. */
  readonly nonce: string | undefined;
  readonly to: "new" | "old";
  readonly image: string;
  /** The one that was looked at last. */
  readonly version: string;
  readonly launch: boolean;
  readonly handshakeMs: number;
}

export function requestOf(
  step: Exclude<TourStep, "over">,
  { machine, nonce: known, to, image, version, launch, handshakeMs }: RequestContext,
): Request {
  const nonce = known ?? "";
  switch (step) {
    case "lease":
      return {
        record: { type: step, machine },
        call: { kind: step, nonce: known },
      };
    case "look":
    case "settle":
    case "start":
    case "health":
    case "soak":
      return { record: undefined, call: { kind: "read" } };
    case "drain":
      return { record: undefined, call: { kind: "sessions" } };
    case "handshake":
      return { record: undefined, call: { kind: step, timeoutMs: handshakeMs } };
    case "cordon":
      // Announced by the record of how the machine was found.
      return { record: undefined, call: { kind: step, nonce } };
    case "update":
      return {
        record: { type: step, machine, to },
        call: { kind: step, nonce, image, version, launch },
      };
    case "launch":
    case "uncordon":
    case "release":
      return { record: { type: step, machine }, call: { kind: step, nonce } };
  }
}
