import { openAdmission, sealAdmission } from "../../src/quic/admission-header.ts";
import {
  AdmissionKeyError,
  deriveAdmissionKey,
  formatAdmissionKey,
  parseAdmissionKeys,
} from "../../src/quic/admission-key.ts";
import { idKeys, openRoutedId, routedId } from "../../src/quic/routed-id.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { pick } from "../support/mutation.ts";
import { between, type Random, randomBytes } from "../support/seed.ts";

/** What a stranger must get past before quiche sees a byte of him, and how its keys are written. */

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const master = new Uint8Array(32).fill(4);
const keys = [1, 7].map((epoch) => deriveAdmissionKey(master, epoch, "148e21ea7e46e8"));
const keyOf = (epoch: number, machineId: string): Uint8Array | undefined =>
  keys.find((key) => key.epoch === epoch && key.machineId === machineId)?.key;
const sealed = new Set<string>();

/** Nothing opens but what a holder of the key sealed. */
export const admissionHeaders: FuzzTarget = {
  name: "admission headers",
  runs: 300_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => {
      const datagram = randomBytes(random, between(random, 1200, 1230));
      const time = between(random, 0, 2 ** 32 - 1);
      const header = sealAdmission(pick(random, keys), datagram, time, randomBytes(random, 3));
      sealed.add(hex(header));
      return new Uint8Array(header);
    }),
  decodedShareMin: 0.0001,
  check: (bytes) => {
    const opened = openAdmission(bytes, keyOf);
    if (opened === null) return false;
    if (!sealed.has(hex(bytes))) throw new Error("a forged admission");
    return true;
  },
};

const routes = new Map(keys.map((key) => [key.epoch, idKeys(key)]));
const routeKeys = {
  padOf: (epoch: number) => routes.get(epoch)?.pad,
  tagKeyOf: (epoch: number) => routes.get(epoch)?.tagKey,
};
const minted = new Set<string>();

/** Nobody can make an id that leads to a machine without its key. */
export const routedIds: FuzzTarget = {
  name: "routed ids",
  runs: 1_000_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => {
      const key = pick(random, keys);
      const id = routedId(key, idKeys(key), randomBytes(random, 7));
      minted.add(hex(id));
      return id;
    }),
  decodedShareMin: 0.0001,
  check: (bytes) => {
    if (openRoutedId(bytes, routeKeys) === null) return false;
    if (!minted.has(hex(bytes))) throw new Error("a forged id");
    return true;
  },
};

/** What is taken as keys is what would be written for them; everything else is `AdmissionKeyError`. */
export const admissionKeys: FuzzTarget = {
  name: "admission keys",
  runs: 300_000,
  corpus: (random) => Array.from({ length: 100 }, () => Buffer.from(keyText(random))),
  check: (bytes) => {
    const text = Buffer.from(bytes).toString();
    try {
      const written = parseAdmissionKeys(text).map(formatAdmissionKey);
      const given = text.split(",").map((part) => part.trim());
      if (written.join(",") !== given.join(",")) throw new Error(`read as ${written.join(",")}`);
      return true;
    } catch (error) {
      if (error instanceof AdmissionKeyError) return false;
      throw error;
    }
  },
};

function keyText(random: Random): string {
  const key = {
    machineId: hex(randomBytes(random, 7)),
    key: randomBytes(random, 32),
    mask: randomBytes(random, 16),
  };
  const epochs = pick(random, [[between(random, 0, 7)], [1, 2], [7, 0]]);
  return epochs.map((epoch) => formatAdmissionKey({ ...key, epoch })).join(",");
}
