import type { CloseReason } from "./connection.ts";
import { quicLimits } from "./limits.ts";
import type { ConnectionError, QuicheConnection } from "./quiche-connection.ts";
import { quicheError } from "./quiche-error.ts";

/** Why quiche says the connection is over; asked once it drains or is closed. */
export function closeReason(quiche: QuicheConnection, wasEstablished: boolean): CloseReason {
  const peer = quiche.peerError();
  if (peer !== null) {
    const kind = peer.isApp ? "peer-application" : "peer-transport";
    return { kind, code: peer.errorCode, reason: reasonText(peer) };
  }
  const local = quiche.localError();
  if (local !== null) {
    return { kind: "transport", code: local.errorCode, reason: reasonText(local) };
  }
  if (quiche.isTimedOut()) return { kind: wasEstablished ? "idle" : "handshake-timeout" };
  // The only other way: the peer lost the connection and said so by a stateless reset.
  return { kind: "transport", code: 0, reason: "reset by a peer that does not know it any more" };
}

/** With a code and a reason of ours. */
export function closeQuiche(quiche: QuicheConnection, code: number, reason: string): void {
  closeNative(quiche, true, code, reason);
}

/** Before any stream was read. */
export function refuseQuiche(quiche: QuicheConnection): void {
  closeNative(quiche, false, connectionRefused, "");
}

/** The peer's words are shown to people, so they must not steer a terminal. */
function reasonText(error: ConnectionError): string {
  const bytes = error.reason.subarray(0, quicLimits.closeReasonBytesMax);
  // oxlint-disable-next-line no-control-regex -- that is the point
  return new TextDecoder().decode(bytes).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}

function closeNative(
  quiche: QuicheConnection,
  application: boolean,
  code: number,
  reason: string,
): void {
  const text = Buffer.from(reason, "utf8").subarray(0, quicLimits.closeReasonBytesMax);
  try {
    quiche.close(application, code, text);
  } catch (error) {
    quicheError(error);
  }
}

/** CONNECTION_REFUSED (RFC 9000, 20.1). */
export const connectionRefused = 2;
