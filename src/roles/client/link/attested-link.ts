import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { LoginAccepted } from "../../../protocol/login-client.ts";
import type { AttestedMachine } from "../../../fly/attestation.ts";
import type { ConnectionStats } from "../../../quic/connection.ts";

/** What the login of the connection in use has proven. */
export interface LinkLogin extends Pick<LoginAccepted, "status" | "version"> {
  readonly machine: AttestedMachine;
}

/** One connection of a link: a way to open streams to the machine until it is lost. */
export interface LinkConnection {
  openStream(): Promise<ByteStream>;
  /** Resolves when it is lost or closed; never rejects. */
  readonly closed: Promise<unknown>;
}

/** Where the time of making a connection went. */
export interface LinkPhases {
  readonly dnsMs: number;
  readonly quicMs: number;
  readonly attestMs: number;
  readonly authMs: number;
}

/** How a command came by its link: dialled by itself, or held by the background link. */
export interface LinkOrigin {
  readonly kind: "own" | "new" | "reused";
  /** Of the dialling that this command has waited for. */
  readonly phases?: LinkPhases;
}

export type LinkStats = Pick<ConnectionStats, "rttMs" | "lostPackets" | "sentPackets">;

export type LinkState =
  | { readonly kind: "up" }
  | { readonly kind: "down"; readonly sinceMs: number; readonly attempt: number };

/**
 * The attested way to a vault as commands see it, made again whenever it is lost: by this process
 * (`Link`), or by the background link that several commands share.
 */
export interface AttestedLink {
  readonly login: LinkLogin;
  readonly origin: LinkOrigin;
  /** As they were when they were last asked for. */
  readonly connectionStats: LinkStats;
  /** As they are. */
  freshStats(): Promise<LinkStats>;
  /** The connection, waiting for it while the link is down. Rejects with the `Failure` that ended it. */
  connection(): Promise<LinkConnection>;
  /** Whether the link stands and it is by this connection. */
  isCurrent(connection: LinkConnection): boolean;
  /** Wait between attempts at something over a link that stands. */
  pause(attempt: number): Promise<void>;
  /** No more waiting: the user asked, or the computer woke up. */
  retryNow(): void;
  close(): Promise<void>;
}
