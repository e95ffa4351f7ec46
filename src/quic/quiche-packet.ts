import quiche from "@matrixai/quic/native/quiche.js";
import { checkBytes } from "./argument.ts";
import { quicLimits } from "./limits.ts";

/** The part of a long header that is read before any connection exists. */
export interface LongHeader {
  readonly type: "initial" | "other";
  readonly version: number;
  readonly dcid: Uint8Array;
  readonly scid: Uint8Array;
  readonly token: Uint8Array;
}

/** Null when the bytes are no QUIC packet. */
export function parseLongHeader(datagram: Uint8Array): LongHeader | null {
  if (datagram.byteLength === 0 || datagram.byteLength > quicLimits.datagramBytesMax) return null;
  try {
    const header = quiche.Header.fromSlice(datagram, quicLimits.connectionIdBytesMax);
    // Other versions may have longer ids; we do not speak with those.
    const longest = Math.max(header.dcid.byteLength, header.scid.byteLength);
    if (longest > quicLimits.connectionIdBytesMax) return null;
    return {
      type: header.ty === quiche.Type.Initial ? "initial" : "other",
      version: header.version,
      dcid: header.dcid,
      scid: header.scid,
      token: header.token ?? empty,
    };
  } catch {
    return null;
  }
}

export function versionIsSupported(version: number): boolean {
  return version === quiche.PROTOCOL_VERSION;
}

export function versionNegotiationPacket(header: LongHeader): Uint8Array {
  checkIds(header);
  const out = new Uint8Array(quicLimits.initialDatagramBytesMin);
  return out.subarray(0, quiche.negotiateVersion(header.scid, header.dcid, out));
}

export function retryPacket(
  header: LongHeader,
  newScid: Uint8Array,
  token: Uint8Array,
): Uint8Array {
  checkIds(header);
  checkBytes("new scid", newScid, 1, quicLimits.connectionIdBytesMax);
  checkBytes("token", token, 1, quicLimits.retryTokenBytesMax);
  const out = new Uint8Array(quicLimits.initialDatagramBytesMin);
  const { scid, dcid, version } = header;
  return out.subarray(0, quiche.retry(scid, dcid, newScid, token, version, out));
}

function checkIds(header: LongHeader): void {
  checkBytes("scid", header.scid, 0, quicLimits.connectionIdBytesMax);
  checkBytes("dcid", header.dcid, 0, quicLimits.connectionIdBytesMax);
}

const empty = new Uint8Array(0);
