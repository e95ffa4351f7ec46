import { hasCode } from "../../../system/filesystem.ts";
import { DiskFull } from "./disk-full.ts";
import { type ByteString, printable } from "../../../system/archive/tar/byte-string.ts";
import type { TarEntry } from "../../../system/archive/tar/entry.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

/** Runs one step of an entry and turns what the kernel says into what it means for the archive. */
export function about(entry: TarEntry, step: () => void): void {
  try {
    step();
  } catch (error) {
    throw meaningOf(error, entry);
  }
}

export function nameOf(entry: TarEntry): string {
  return printable(entry.path === "" ? "." : entry.path);
}

export function duplicate(): TarRefusal {
  return new TarRefusal("E_DUPLICATE", "The name stands in the archive twice");
}

export function missingTarget(target: ByteString): TarRefusal {
  const message = `A hard link to ${printable(target)}, which is no file unpacked before`;
  return new TarRefusal("E_LINK_TARGET", message);
}

function meaningOf(error: unknown, entry: TarEntry): unknown {
  if (error instanceof TarRefusal) {
    error.entry ??= nameOf(entry);
    return error;
  }
  if (hasCode(error, "ENOSPC", "EDQUOT")) {
    return new DiskFull(`The disk was full at ${nameOf(entry)}`);
  }
  if (hasCode(error, "EFBIG")) {
    return named(new TarRefusal("E_LIMIT_BYTES", "The file is too large for this disk"), entry);
  }
  if (hasCode(error, "EEXIST")) return named(duplicate(), entry);
  if (hasCode(error, "ENAMETOOLONG")) {
    return named(new TarRefusal("E_PATH_LONG", "The name is too long for this disk"), entry);
  }
  return error;
}

function named(refusal: TarRefusal, entry: TarEntry): TarRefusal {
  refusal.entry = nameOf(entry);
  return refusal;
}
