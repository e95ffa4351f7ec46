import { byteString, type ByteString } from "./byte-string.ts";
import type { TarHeader } from "./header.ts";
import { TarRefusal } from "./refusal.ts";

/** The one size of an entry: how many bytes follow its header. Undefined where neither place has one. */
export function storedSize(
  header: TarHeader,
  pax: ReadonlyMap<ByteString, Uint8Array> | undefined,
): number | undefined {
  return paxSize(pax) ?? header.size;
}

/** The same of a file, which must have one. */
export function storedFileSize(size: number | undefined): number {
  if (size === undefined) throw new TarRefusal("E_SIZE", "A file without a size");
  if (size < 0) throw new TarRefusal("E_SIZE", "A file of negative size");
  return size;
}

function paxSize(pax: ReadonlyMap<ByteString, Uint8Array> | undefined): number | undefined {
  const value = pax?.get("size");
  if (value === undefined) return undefined;
  const text = byteString(value);
  const size = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(size)) {
    throw new TarRefusal("E_PAX_SIZE", `The PAX size is "${text.slice(0, 30)}"`);
  }
  return size;
}
