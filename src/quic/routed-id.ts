import { createCipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type AdmissionKey, connectionIdKey } from "./admission-key.ts";
import { connectionIdBytes, type ConnectionIds, directConnectionIds } from "./connection-id.ts";

/**
 * Connection ids that say whose they are: a proxy that knows the machine's key finds the way by the
 * id alone, and a machine can forge none but its own (docs/transport.md, section 5). Minted with the
 * first key. `secret` is the machine's alone: whoever has the admission key could else end connections.
 */
export function routedConnectionIds(
  keys: readonly [AdmissionKey, ...AdmissionKey[]],
  secret: Uint8Array,
): ConnectionIds {
  const [current] = keys;
  const direct = directConnectionIds(secret);
  const routes = new Map(keys.map((key) => [key.epoch, idKeys(key)]));
  const own = idKeys(current);
  return {
    mint: () => routedId(current, own, randomBytes(1 + nonceBytes)),
    recognises: (id) =>
      openRoutedId(id, {
        padOf: (epoch) => routes.get(epoch)?.pad,
        tagKeyOf: (epoch, machineId) =>
          machineId === current.machineId ? routes.get(epoch)?.tagKey : undefined,
      }) !== null,
    resetToken: (id) => direct.resetToken(id),
  };
}

/** Turns the 12 bytes of nonce and tag into the 7 bytes that cover the machine id. */
export type IdPad = (nonceAndTag: Uint8Array) => Uint8Array;

interface IdKeys {
  readonly tagKey: Uint8Array;
  readonly pad: IdPad;
}

export function idKeys(key: AdmissionKey): IdKeys {
  return { tagKey: connectionIdKey(key), pad: idPad(key.mask) };
}

/** AES-128 of nonce and tag, filled up with zeros: as QUIC-LB hides server ids. */
export function idPad(mask: Uint8Array): IdPad {
  const cipher = createCipheriv("aes-128-ecb", mask, null).setAutoPadding(false);
  const block = new Uint8Array(16);
  return (nonceAndTag) => {
    block.set(nonceAndTag);
    return cipher.update(block).subarray(0, nonceAt - machineAt);
  };
}

/** `random` has 7 bytes: 5 bits beside the epoch, and the nonce. */
export function routedId(
  { epoch, machineId }: Pick<AdmissionKey, "epoch" | "machineId">,
  { tagKey, pad }: IdKeys,
  random: Uint8Array,
): Uint8Array {
  const id = Buffer.alloc(connectionIdBytes);
  id[0] = (epoch << epochShift) | ((random[0] ?? 0) & 0x1f);
  id.write(machineId, machineAt, "hex");
  id.set(random.subarray(1, 1 + nonceBytes), nonceAt);
  id.set(tagOf(id, tagKey), tagAt);
  cover(id, pad);
  return new Uint8Array(id);
}

/** Where an id leads, or null unless its tag is right. The keys are asked for with what the id says. */
export function openRoutedId(
  id: Uint8Array,
  keys: {
    readonly padOf: (epoch: number) => IdPad | undefined;
    readonly tagKeyOf: (epoch: number, machineId: string) => Uint8Array | undefined;
  },
): Pick<AdmissionKey, "epoch" | "machineId"> | null {
  if (id.byteLength !== connectionIdBytes) return null;
  const epoch = (id[0] ?? 0) >> epochShift;
  const pad = keys.padOf(epoch);
  if (pad === undefined) return null;
  const bare = Buffer.from(id);
  cover(bare, pad);
  const machineId = bare.toString("hex", machineAt, nonceAt);
  const key = keys.tagKeyOf(epoch, machineId);
  if (key === undefined || !timingSafeEqual(bare.subarray(tagAt), tagOf(bare, key))) return null;
  return { epoch, machineId };
}

/** Twice is as good as never. */
function cover(id: Uint8Array, pad: IdPad): void {
  const bytes = pad(id.subarray(nonceAt));
  for (let at = machineAt; at < nonceAt; at++)
    id[at] = (id[at] ?? 0) ^ (bytes[at - machineAt] ?? 0);
}

/** Over the bare id. */
function tagOf(id: Uint8Array, tagKey: Uint8Array): Uint8Array {
  const hash = createHmac("sha256", tagKey).update(id.subarray(0, tagAt)).digest();
  return hash.subarray(0, connectionIdBytes - tagAt);
}

const epochShift = 5;
const machineAt = 1;
const nonceAt = 8;
const nonceBytes = 6;
const tagAt = nonceAt + nonceBytes;
