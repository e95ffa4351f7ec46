import type { Source } from "./source.ts";

/** The moment of a turn of the loop, both clocks read once. */
export interface Instant {
  readonly monotonicMs: number;
  /** Milliseconds since 1970. */
  readonly wallMs: number;
}

/** What becomes of one datagram of a client. Made for every datagram, so nothing is allocated for the two common ones. */
export type Decision = Flow | Drop | HintAnswer | Held;

/** Forward it as it came, by this flow's socket. */
export interface Flow {
  readonly kind: "forward";
  readonly source: Source;
  readonly machineId: string;
  /** Of the machine on the private network. */
  readonly address: string;
  /** The connected socket that stands for the client at the machine; -1 until the loop opened one. */
  descriptor: number;
}

export interface Drop {
  readonly kind: "drop";
  readonly cause: DropCause;
}

/** Send these bytes back: the tag was right. */
export interface HintAnswer {
  readonly kind: "hint";
  readonly bytes: Uint8Array;
}

/** Kept until its machine has started; the bytes were copied. */
export interface Held {
  readonly kind: "held";
}

/** Names of metrics, too. None of them is ever told to anybody. */
export const dropCauses = [
  "no-quic",
  "untagged",
  "bad-tag",
  "bad-id",
  "unknown-epoch",
  "clock",
  "replayed",
  "penalty",
  "pressure",
  "unknown-machine",
  "not-started",
  "flows",
  "flows-of-machine",
  "flows-of-network",
  "unconfirmed-flows",
  "new-flow-rate",
  "amplification",
  "machine-rate",
  "held-enough",
  "draining",
] as const;

export type DropCause = (typeof dropCauses)[number];

/** What the core wants done besides; taken by the loop after each turn. */
export interface Output {
  /** For the broker. */
  readonly requests: readonly BrokerRequest[];
  /** Datagrams that waited for their machine, with the flow that they opened. */
  readonly released: readonly { readonly flow: Flow; readonly datagram: Uint8Array }[];
  readonly hints: readonly { readonly source: Source; readonly bytes: Uint8Array }[];
  /** Their sockets are to be closed. */
  readonly closed: readonly Flow[];
}

export interface BrokerRequest {
  readonly kind: "lookup" | "start";
  readonly machineId: string;
}
