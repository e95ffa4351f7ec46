import { openAdmission, sealAdmission } from "./admission-header.ts";
import type { AdmissionKey } from "./admission-key.ts";
import type { DatagramGate } from "./carrier.ts";
import { quicLimits } from "./limits.ts";
import { ReplaySet } from "./replay-set.ts";

export interface ClientGateOptions {
  readonly key: AdmissionKey;
  readonly wallMs: () => number;
  readonly randomBytes: (length: number) => Uint8Array;
}

/**
 * The client's, for one connection. Tags datagrams for as long as they bear the id that the client
 * made up for its first: no answer, lost or forged, can make it stop too early.
 */
export function clientGate({ key, wallMs, randomBytes }: ClientGateOptions): DatagramGate {
  let firstId: Uint8Array | undefined;
  return {
    seal: (datagram) => {
      const id = destinationId(datagram);
      firstId ??= new Uint8Array(id);
      if (Buffer.compare(id, firstId) !== 0) return null;
      return sealAdmission(key, datagram, Math.floor(wallMs() / 1000), randomBytes(3));
    },
    open: () => null,
  };
}

/** A machine's. Without keys it lets nobody in. Answers go out bare. */
export function machineGate(keys: readonly AdmissionKey[], wallMs: () => number): DatagramGate {
  const replays = new ReplaySet();
  const keyOf = (epoch: number, machineId: string): Uint8Array | undefined =>
    keys.find((key) => key.epoch === epoch && key.machineId === machineId)?.key;
  return {
    seal: () => null,
    open: (sealed) => {
      const admission = openAdmission(sealed, keyOf);
      if (admission === null || !hasLongHeader(admission.datagram)) return null;
      const nowMs = wallMs();
      if (Math.abs(nowMs - admission.timeS * 1000) > quicLimits.admissionClockS * 1000) return null;
      return replays.add(admission.machineId, admission.tag, nowMs) ? admission.datagram : null;
    },
  };
}

function hasLongHeader(datagram: Uint8Array): boolean {
  return ((datagram[0] ?? 0) & 0xc0) === 0xc0;
}

/** Of a long header. */
function destinationId(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(6, 6 + (datagram[5] ?? 0));
}
