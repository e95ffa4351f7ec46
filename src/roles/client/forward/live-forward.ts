import type { ForwardEnd, ForwardSpec } from "./forward-spec.ts";

/** `failed`: the vault refused it for good. */
export type ForwardState = "up" | "waiting" | "failed";

/** One spec at work, whatever its kind. */
export interface LiveForward {
  readonly spec: ForwardSpec;
  /** As it came out: a port that was left to the system is known by then. */
  readonly listen: ForwardEnd;
  /** How it stands while the link is up. */
  readonly state: ForwardState;
  readonly connectionCount: number;
  /** Takes no more connections; those that are open go on, but for UDP. Never rejects. */
  close(): Promise<void>;
}

/** What every kind is given. */
export interface ForwardSurroundings {
  /** Something a person should know; not said too often. */
  readonly note: (line: string) => void;
  /** The state, or the port, is another one now. */
  readonly changed: () => void;
}
