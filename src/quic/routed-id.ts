import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
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
  const currentKey = connectionIdKey(current);
  const tagKeys = new Map(keys.map((key) => [key.epoch, connectionIdKey(key)]));
  return {
    mint: () => routedId(current, currentKey, randomBytes(1 + nonceBytes)),
    recognises: (id) =>
      openRoutedId(id, (epoch, machineId) =>
        machineId === current.machineId ? tagKeys.get(epoch) : undefined,
      ) !== null,
    resetToken: (id) => direct.resetToken(id),
  };
}

/** `random` has 7 bytes: 5 bits beside the epoch, and the nonce. */
export function routedId(
  { epoch, machineId }: Pick<AdmissionKey, "epoch" | "machineId">,
  tagKey: Uint8Array,
  random: Uint8Array,
): Uint8Array {
  const id = Buffer.alloc(connectionIdBytes);
  id[0] = (epoch << epochShift) | ((random[0] ?? 0) & 0x1f);
  id.write(machineId, 1, "hex");
  id.set(random.subarray(1, 1 + nonceBytes), nonceAt);
  id.set(tagOf(id, tagKey), tagAt);
  return new Uint8Array(id);
}

/** Where an id leads, or null unless its tag is right. `keyOf` is asked with what the id says. */
export function openRoutedId(
  id: Uint8Array,
  keyOf: (epoch: number, machineId: string) => Uint8Array | undefined,
): Pick<AdmissionKey, "epoch" | "machineId"> | null {
  if (id.byteLength !== connectionIdBytes) return null;
  const epoch = (id[0] ?? 0) >> epochShift;
  const machineId = Buffer.from(id.subarray(1, nonceAt)).toString("hex");
  const key = keyOf(epoch, machineId);
  if (key === undefined || !timingSafeEqual(id.subarray(tagAt), tagOf(id, key))) return null;
  return { epoch, machineId };
}

function tagOf(id: Uint8Array, tagKey: Uint8Array): Uint8Array {
  const hash = createHmac("sha256", tagKey).update(id.subarray(0, tagAt)).digest();
  return hash.subarray(0, connectionIdBytes - tagAt);
}

const epochShift = 5;
const nonceAt = 8;
const nonceBytes = 6;
const tagAt = nonceAt + nonceBytes;
