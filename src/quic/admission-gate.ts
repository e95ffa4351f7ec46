import { openAdmission, sealAdmission, tagAt } from "./admission-header.ts";
import { type AdmissionHint, openHint, tagStartBytes } from "./admission-hint.ts";
import type { AdmissionKey } from "./admission-key.ts";
import type { DatagramGate } from "./carrier.ts";
import { quicLimits } from "./limits.ts";
import { ReplaySet } from "./replay-set.ts";

export interface ClientGateOptions {
  readonly key: AdmissionKey;
  readonly wallMs: () => number;
  readonly randomBytes: (length: number) => Uint8Array;
  /** What a proxy says about the admission: that the machine is being started, say. */
  readonly onHint?: (hint: AdmissionHint) => void;
}

/**
 * The client's, for one connection. Tags datagrams for as long as they bear the id that the client
 * made up for its first: no answer, lost or forged, can make it stop too early. A wrong clock is
 * put right by the proxy's hint, for the tags of this connection alone.
 */
export function clientGate({ key, wallMs, randomBytes, onHint }: ClientGateOptions): DatagramGate {
  let firstId: Uint8Array | undefined;
  let clockAheadMs = 0;
  const asked = new AskedTags();
  return {
    seal: (datagram) => {
      const id = destinationId(datagram);
      firstId ??= new Uint8Array(id);
      if (Buffer.compare(id, firstId) !== 0) return null;
      const timeS = Math.floor((wallMs() + clockAheadMs) / 1000);
      const sealed = sealAdmission(key, datagram, timeS, randomBytes(3));
      asked.add(sealed);
      return sealed;
    },
    open: (datagram) => {
      const hint = openHint(key, datagram);
      if (hint === null) return null;
      const offMs = hint.timeS * 1000 - wallMs();
      const isAnswer = asked.has(hint.tagStart);
      if (hint.state === "clock") {
        // Time is taken from an answer alone: an old hint would set it back.
        if (!isAnswer) return null;
        clockAheadMs = offMs;
      }
      // What nobody asked for must at least be new.
      if (isAnswer || Math.abs(offMs - clockAheadMs) <= quicLimits.admissionClockS * 1000)
        onHint?.(hint);
      return null;
    },
  };
}

/** The admissions of a connection that an answer may still come to. */
class AskedTags {
  readonly #starts: string[] = [];

  add(sealed: Uint8Array): void {
    this.#starts.push(textOf(sealed.subarray(tagAt)));
    if (this.#starts.length > quicLimits.askedTagsMax) this.#starts.shift();
  }

  has(tagStart: Uint8Array): boolean {
    return this.#starts.includes(textOf(tagStart));
  }
}

function textOf(tag: Uint8Array): string {
  return Buffer.from(tag.subarray(0, tagStartBytes)).toString("latin1");
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
