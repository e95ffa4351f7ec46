import { CryptoHasher } from "bun";
import { quicLimits } from "./limits.ts";

/** What lets datagrams to one machine in. The proxy can make all of them, from its master of the epoch. */
export interface AdmissionKey {
  /** 0 to 7: which master it was made from. */
  readonly epoch: number;
  /** 14 hexadecimal digits. */
  readonly machineId: string;
  readonly key: Uint8Array;
  /** Hides machine ids in connection ids from those on the path; the same for all machines of an epoch. */
  readonly mask: Uint8Array;
}

/** Its message never shows the text. */
export class AdmissionKeyError extends Error {
  override readonly name = "AdmissionKeyError";
}

export function deriveAdmissionKey(
  master: Uint8Array,
  epoch: number,
  machineId: string,
): AdmissionKey {
  return { epoch, machineId, key: machineKey(master, machineId), mask: deriveMask(master) };
}

export function machineKey(master: Uint8Array, machineId: string): Uint8Array {
  return hmac(master, `fly-vault admission 1\0${machineId}`);
}

export function deriveMask(master: Uint8Array): Uint8Array {
  return hmac(master, "fly-vault mask 1").slice(0, maskBytes);
}

/** `fva1_EPOCH_MACHINE_KEY`, key and mask in base64url. */
export function formatAdmissionKey({ epoch, machineId, key, mask }: AdmissionKey): string {
  return `fva1_${epoch}_${machineId}_${Buffer.concat([key, mask]).toString("base64url")}`;
}

/**
 * One key, or two of different epochs with a comma while the master changes; the first is the one to
 * use. Throws `AdmissionKeyError`.
 */
export function parseAdmissionKeys(text: string): readonly [AdmissionKey, ...AdmissionKey[]] {
  const [first, ...others] = text.split(",", quicLimits.admissionKeysMax + 1).map(parseKey);
  if (first === undefined || others.length >= quicLimits.admissionKeysMax)
    throw new AdmissionKeyError(`there are more than ${quicLimits.admissionKeysMax} keys`);
  for (const other of others) {
    if (other.machineId !== first.machineId)
      throw new AdmissionKeyError("the keys are of different machines");
    if (other.epoch === first.epoch) throw new AdmissionKeyError("two keys are of one epoch");
  }
  return [first, ...others];
}

/** For the tags in connection ids: HKDF-Expand(key, "cid", 32). */
export function connectionIdKey({ key }: Pick<AdmissionKey, "key">): Uint8Array {
  return hmac(key, "cid\x01");
}

/** Bun's own: node:crypto takes 3 ms to load, and clients read keys whatever they do. */
function hmac(key: Uint8Array, text: string): Uint8Array {
  return new Uint8Array(new CryptoHasher("sha256", key).update(text).digest());
}

function parseKey(text: string): AdmissionKey {
  const match = /^fva1_([0-7])_([0-9a-f]{14})_([\w-]{64})$/.exec(text.trim());
  if (match === null)
    throw new AdmissionKeyError(
      "it is not fva1_EPOCH_MACHINE_KEY: a digit up to 7, 14 hexadecimal digits, 64 characters of base64url",
    );
  const [, epoch = "", machineId = "", encoded = ""] = match;
  const bytes = new Uint8Array(Buffer.from(encoded, "base64url"));
  const [key, mask] = [bytes.slice(0, keyBytes), bytes.slice(keyBytes)];
  return { epoch: Number(epoch), machineId, key, mask };
}

const keyBytes = 32;
const maskBytes = 16;
