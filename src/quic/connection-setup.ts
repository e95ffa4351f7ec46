import type { Keylog } from "./keylog.ts";
import type { QuicheConnection, RecvInfo } from "./quiche-connection.ts";

/** What a connection is made of. */
export interface ConnectionSetup {
  readonly side: "client" | "server";
  readonly quiche: QuicheConnection;
  readonly keylog: Keylog;
  /** Both addresses as quiche is to see them, always. */
  readonly path: RecvInfo;
  readonly alpn: string;
  /** Larger datagrams are not tried. */
  readonly datagramBytesMax: number;
  /** The server's own certificate; the client learns it in the handshake. */
  readonly ownCertificate: Uint8Array | undefined;
  readonly handshakeMs: number;
  readonly keepAliveMs: number;
  /** Our word for the silence that ends the connection; 0 for none. */
  readonly idleMs: number;
}
