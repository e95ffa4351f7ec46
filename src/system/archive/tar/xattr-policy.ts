import type { ByteString } from "./byte-string.ts";

/**
 * Which extended attributes an archive may set. File capabilities and the user's own are data of
 * the image; the rest steers the kernel of the machine that unpacks (overlay, SELinux, IMA, our own
 * marks) and is left out.
 */
export interface XattrChoice {
  readonly set: readonly (readonly [ByteString, Uint8Array])[];
  readonly skipped: readonly ByteString[];
}

const nothing: XattrChoice = { set: [], skipped: [] };

export function splitXattrs(xattrs: ReadonlyMap<ByteString, Uint8Array>): XattrChoice {
  if (xattrs.size === 0) return nothing;
  const set: (readonly [ByteString, Uint8Array])[] = [];
  const skipped: ByteString[] = [];
  for (const [name, value] of xattrs) {
    if (mayBeSet(name, value)) set.push([name, value]);
    else skipped.push(name);
  }
  return { set, skipped };
}

function mayBeSet(name: ByteString, value: Uint8Array): boolean {
  if (name === "security.capability") return isCapability(value);
  return (
    name.startsWith("user.") && !name.startsWith("user.overlay.") && !name.startsWith("user.fv.")
  );
}

/** `struct vfs_cap_data`: a little-endian magic with the revision on top, and the length that goes with it. */
function isCapability(value: Uint8Array): boolean {
  const lengths: Readonly<Record<number, number>> = { 1: 12, 2: 20, 3: 24 };
  return value.length >= 4 && lengths[value[3] ?? 0] === value.length;
}
