import { randomBytes, randomInt } from "node:crypto";

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** 14 hex digits, as Fly's machine ids. */
export function newMachineId(): string {
  return randomBytes(7).toString("hex");
}

export function newVolumeId(): string {
  return `vol_${randomBytes(9).toString("hex").slice(0, 17)}`;
}

/** Numbers that stand for an organisation or app in the evidence. */
export function numericId(): number {
  return randomInt(100_000, 9_999_999);
}

/** 26 characters that sort by time: versions, events and request ids have this form. */
export function ulid(nowMs: number): string {
  let time = "";
  for (let rest = Math.floor(nowMs), digit = 0; digit < 10; digit += 1) {
    time = (crockford[rest % 32] ?? "0") + time;
    rest = Math.floor(rest / 32);
  }
  let random = "";
  for (const byte of randomBytes(16)) random += crockford[byte % 32] ?? "0";
  return time + random;
}

/** A name for a machine that was created without one. */
export function newMachineName(): string {
  return `local-${randomBytes(4).toString("hex")}`;
}
