import type { ApiErrorKind } from "../../fly/api-error.ts";
import { isMachineRunning } from "../../fly/machine-shape.ts";

/** What the state machine of a rollout asks of the world, and what it hears back. No clock, no network. */
export type Call =
  /** Take a lease; with a nonce, or where the lease is ours by its description, go on with that one. */
  | { readonly kind: "lease"; readonly nonce: string | undefined }
  | { readonly kind: "renew"; readonly nonce: string }
  | { readonly kind: "read" }
  /** How many sessions are open in it. */
  | { readonly kind: "sessions" }
  | { readonly kind: "cordon"; readonly nonce: string }
  | {
      readonly kind: "update";
      readonly nonce: string;
      readonly image: string;
      /** Only if the machine is still of it. */
      readonly version: string;
      readonly launch: boolean;
    }
  | { readonly kind: "launch"; readonly nonce: string }
  | { readonly kind: "handshake"; readonly timeoutMs: number }
  | { readonly kind: "uncordon"; readonly nonce: string }
  | { readonly kind: "release"; readonly nonce: string };

export type Answer =
  | { readonly kind: "leased"; readonly nonce: string }
  | { readonly kind: "seen"; readonly view: MachineView }
  | { readonly kind: "counted"; readonly open: number }
  | { readonly kind: "done" }
  | { readonly kind: "fault"; readonly fault: Fault };

export interface Fault {
  readonly kind: ApiErrorKind;
  readonly words: string;
}

/** What was asked for was certainly not done. */
export function isRefusal(answer: Answer): boolean {
  const refusals: readonly string[] = ["conflict", "refused", "not-found", "no-capacity"];
  return answer.kind === "fault" && refusals.includes(answer.fault.kind);
}

/** A machine, as far as a rollout looks at it. */
export interface MachineView {
  readonly state: string;
  readonly version: string;
  /** As configured. */
  readonly image: string;
  /** The same with its digest, where Fly tells one. */
  readonly pinned: string;
  readonly cordoned: boolean;
  /** Checks that are not good, as `NAME: STATUS`. */
  readonly badChecks: readonly string[];
  /** When it last ended by itself, by Fly's clock. */
  readonly exitedAtMs: number;
  /** That end was none in order, and it does not run any more. */
  readonly crashed: boolean;
}

/** Whether the machine stays as it is when its configuration changes: it does not run. */
export function isResting(view: MachineView): boolean {
  return !isMachineRunning(view);
}

/** Whether it is about to rest or to run, and does not show which. */
export function isPassing({ state }: MachineView): boolean {
  return ["replacing", "updating", "stopping", "suspending"].includes(state);
}

export function isGone({ state }: MachineView): boolean {
  return ["destroyed", "destroying", "replaced", "migrated"].includes(state);
}

/** `sha256:…` of an image that names its digest. */
export function digestOf(image: string): string | undefined {
  return /@(sha256:[0-9a-f]{64})$/u.exec(image)?.[1];
}
