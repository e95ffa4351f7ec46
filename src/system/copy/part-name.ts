import { digestOf } from "./file-sender.ts";

/** By it a later copy finds what this one could not finish. */
export function partName(name: Uint8Array): Buffer {
  return beside(name, "part");
}

/** Of a file or link that is of no use unless it becomes whole now: no other copy makes the same. */
export function momentName(name: Uint8Array): Buffer {
  moments += 1;
  return beside(name, `${ourMoment}${moments.toString(36)}.part`);
}

const ourMoment = crypto.randomUUID().slice(0, 8);
let moments = 0;

/** Long names are shortened by what they are, not only by where they begin. */
function beside(name: Uint8Array, suffix: string): Buffer {
  const room = 255 - suffix.length - 2;
  const stem =
    name.length <= room
      ? Buffer.from(name)
      : Buffer.concat([
          name.subarray(0, room - 17),
          Buffer.from(`-${Buffer.from(digestOf(name)).toString("hex").slice(0, 16)}`),
        ]);
  return Buffer.concat([Buffer.from("."), stem, Buffer.from(`.${suffix}`)]);
}
