import type { ConnectionSetup } from "./connection-setup.ts";
import { quicLimits } from "./limits.ts";

/** What a handshake yielded. */
export interface FinishedHandshake {
  readonly channelBinding: Uint8Array;
  /** For the messages of `loose-message.ts`. */
  readonly looseKey: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  /** After so long a silence quiche gives the connection up, at the earliest; infinity for never. */
  readonly idleMs: number;
}

/** What it yielded, or what makes it worthless to us. */
export function finishHandshake(setup: ConnectionSetup): FinishedHandshake | string {
  const { quiche, keylog, ownCertificate } = setup;
  const keys = keylog.exports();
  keylog.close();
  const alpn = Buffer.from(quiche.applicationProtocol()).toString("latin1");
  if (alpn !== setup.alpn) return "wrong application protocol";
  if (quiche.isResumed()) return "resumed session";
  if (quiche.isInEarlyData()) return "early data";
  if (keys === null) return "no channel binding";
  const certificates = ownCertificate === undefined ? quiche.peerCertificates() : [ownCertificate];
  const [leaf] = certificates;
  if (leaf === undefined) return "no certificate";
  if (leaf.byteLength > quicLimits.certificateBytesMax) return "oversized certificate";
  const { channelBinding, addressKey: looseKey } = keys;
  const idleMs = earlier(setup.idleMs, quiche.stats().peerMaxIdleTimeout);
  return { channelBinding, looseKey, certificates, idleMs };
}

/** The shorter of both words; 0 stands for none (RFC 9000, 10.1). */
function earlier(...wordsMs: readonly number[]): number {
  return Math.min(...wordsMs.map((ms) => (ms === 0 ? Number.POSITIVE_INFINITY : ms)));
}
