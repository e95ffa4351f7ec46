import { byteString, type ByteString } from "./byte-string.ts";
import type { TarLimits } from "./limits.ts";
import { TarRefusal } from "./refusal.ts";
import { sparsePrefix } from "./sparse-pax.ts";

/** What a PAX header says beyond name, size, owner and time. */
export interface Extended {
  /** As the archive has them; what may be set is for `splitXattrs` to say. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** Keys of what cannot be kept, such as ACLs and file flags. */
  readonly lost: readonly ByteString[];
}

const nothing: Extended = { xattrs: new Map(), lost: [] };

/** star's and GNU tar's way of writing attributes, and libarchive's, which bsdtar writes beside it. */
const schilyPrefix = "SCHILY.xattr.";
const libarchivePrefix = "LIBARCHIVE.xattr.";

/** Used elsewhere, or nothing that a file on disk could keep. */
const plainKeys: ReadonlySet<string> = new Set([
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "atime",
  "ctime",
  "uname",
  "gname",
  "comment",
  "charset",
  "hdrcharset",
  "SCHILY.dev",
  "SCHILY.ino",
  "SCHILY.nlink",
  "LIBARCHIVE.creationtime",
]);

/** Throws `TarRefusal` "E_XATTR". */
export function readExtended(
  pax: ReadonlyMap<ByteString, Uint8Array> | undefined,
  limits: TarLimits,
): Extended {
  if (pax === undefined) return nothing;
  const xattrs = new Map<ByteString, Uint8Array>();
  const lost: ByteString[] = [];
  for (const [key, value] of pax) {
    if (key.startsWith(schilyPrefix)) {
      const twin = pax.has(`${libarchivePrefix}${key.slice(schilyPrefix.length)}`);
      // Then it is bsdtar's, which escapes more than GNU tar does, in both keys.
      setXattr(xattrs, twin ? urlName(key, schilyPrefix) : schilyName(key), value);
    } else if (key.startsWith(libarchivePrefix)) {
      setXattr(xattrs, urlName(key, libarchivePrefix), libarchiveValue(value));
    } else if (!plainKeys.has(key) && !key.startsWith(sparsePrefix)) {
      lost.push(key);
    }
  }
  checkXattrs(xattrs, limits);
  return { xattrs, lost };
}

/** The same one in both ways is common; two values of it would be read by each program as it likes. */
function setXattr(xattrs: Map<ByteString, Uint8Array>, name: ByteString, value: Uint8Array): void {
  const known = xattrs.get(name);
  if (known !== undefined && Buffer.compare(known, value) !== 0) {
    throw new TarRefusal("E_XATTR", `Two values of the attribute "${name.slice(0, 40)}"`);
  }
  xattrs.set(name, value);
}

/** GNU tar escapes the two characters a PAX key cannot or should not hold. */
function schilyName(key: ByteString): ByteString {
  return key.slice(schilyPrefix.length).replaceAll("%3D", "=").replaceAll("%25", "%");
}

function urlName(key: ByteString, prefix: string): ByteString {
  return key
    .slice(prefix.length)
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_escape, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
}

/** Base64, mostly without the padding at its end. */
function libarchiveValue(value: Uint8Array): Uint8Array {
  const text = byteString(value).replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(text) || text.length % 4 === 1) {
    throw new TarRefusal("E_XATTR", "An extended attribute that is no base64");
  }
  return Buffer.from(text, "base64");
}

function checkXattrs(xattrs: ReadonlyMap<ByteString, Uint8Array>, limits: TarLimits): void {
  if (xattrs.size > limits.xattrsMax) {
    throw new TarRefusal("E_XATTR", `${xattrs.size} extended attributes on one entry`);
  }
  for (const [name, value] of xattrs) {
    if (name === "" || name.includes("\0") || name.length > limits.xattrNameBytesMax) {
      throw new TarRefusal("E_XATTR", `Extended attribute with a name of ${name.length} bytes`);
    }
    if (value.length > limits.xattrValueBytesMax) {
      throw new TarRefusal("E_XATTR", `Extended attribute of ${value.length} bytes`);
    }
  }
}
