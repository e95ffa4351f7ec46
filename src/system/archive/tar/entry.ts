import { byteString, byteStringToZero, type ByteString } from "./byte-string.ts";
import { type Extended, readExtended } from "./extended.ts";
import type { TarHeader } from "./header.ts";
import type { TarLimits } from "./limits.ts";
import { normalPath } from "./path.ts";
import { TarRefusal } from "./refusal.ts";
import type { SparseFile } from "./sparse-file.ts";
import { sparse } from "./sparse-map.ts";
import { storedFileSize, storedSize } from "./stored-size.ts";

/** One file of an archive, every question about it decided. */
export type TarEntry = TarAttributes &
  /** Less is stored than the size of the file where it has holes. */
  (
    | { readonly kind: "file"; readonly sizeBytes: number; readonly storedBytes: number }
    | { readonly kind: "directory" }
    /** The target verbatim: it is never followed here. */
    | { readonly kind: "symlink"; readonly target: ByteString }
    /** The target as a normal path below the root. */
    | { readonly kind: "hardlink"; readonly target: ByteString }
    | { readonly kind: "fifo" }
    | {
        readonly kind: "device";
        readonly device: "character" | "block";
        readonly major: number;
        readonly minor: number;
      }
  );

export interface TarAttributes extends Extended {
  /** Below the root, see `normalPath`. */
  readonly path: ByteString;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
}

/** What stood before an entry's own header. */
export interface TarMeta {
  pax?: ReadonlyMap<ByteString, Uint8Array>;
  longName?: ByteString;
  longLink?: ByteString;
}

/** Joins a header with what stood before it, and with the map behind it. Throws `TarRefusal`. */
export function decideEntry(
  header: TarHeader,
  meta: TarMeta,
  limits: TarLimits,
  sparseFile?: SparseFile,
): TarEntry {
  const pax = meta.pax;
  // The path beside it is a made-up one, for readers that do not know the format.
  const name =
    paxName(pax, "GNU.sparse.name") ?? paxName(pax, "path") ?? meta.longName ?? header.name;
  const linkName = paxName(pax, "linkpath") ?? meta.longLink ?? header.linkName;
  const size = storedSize(header, pax);
  const attributes: TarAttributes = {
    path: normalPath(name, limits),
    mode: header.mode & 0o7777,
    uid: ownerId(pax, "uid", header.uid, limits),
    gid: ownerId(pax, "gid", header.gid, limits),
    mtime: modificationTime(pax, header.mtimeSeconds, limits),
    ...readExtended(pax, limits),
  };
  const entry = ofKind(header, {
    attributes,
    linkName,
    size,
    sparseFile,
    // Of a name of slashes alone readers make different things.
    isDirectoryName: /[^/]\/+$/.test(name),
  });
  if (entry.path === "" && entry.kind !== "directory") {
    throw new TarRefusal("E_PATH_EMPTY", "The entry has no name");
  }
  return entry;

  function ofKind(from: TarHeader, parts: EntryParts): TarEntry {
    switch (from.type) {
      case "\0":
      case "0":
      case "7":
      case "S":
        return fileOrDirectory(parts);
      case "1":
        return { ...attributes, kind: "hardlink", target: hardlinkTarget(parts, limits) };
      case "2":
        return { ...attributes, kind: "symlink", target: symlinkTarget(parts, limits) };
      case "3":
      case "4":
        return { ...attributes, ...device(from, parts) };
      case "5":
        return directory(parts);
      case "6":
        refuseSize(parts.size, "E_SIZE", "A FIFO");
        return { ...attributes, kind: "fifo" };
      default:
        throw new TarRefusal(
          "E_TYPE",
          `Entries of type "${printableType(from.type)}" are not known`,
        );
    }
  }
}

interface EntryParts {
  readonly attributes: TarAttributes;
  readonly linkName: ByteString;
  readonly size: number | undefined;
  readonly sparseFile: SparseFile | undefined;
  readonly isDirectoryName: boolean;
}

/** Old writers had no type for directories and put a slash after the name instead. */
function fileOrDirectory(parts: EntryParts): TarEntry {
  const { attributes, sparseFile, isDirectoryName } = parts;
  if (isDirectoryName && sparseFile !== undefined) throw sparse("it is not of a file");
  if (isDirectoryName) return directory(parts);
  const size = storedFileSize(parts.size);
  if (sparseFile === undefined) {
    return { ...attributes, kind: "file", sizeBytes: size, storedBytes: size };
  }
  const { map, mapBytes } = sparseFile;
  const storedBytes = size - mapBytes;
  map.finish(storedBytes);
  return { ...attributes, kind: "file", sizeBytes: map.sizeBytes, storedBytes };
}

function directory(parts: EntryParts): TarEntry {
  refuseSize(parts.size, "E_SIZE_ON_DIR", "A directory");
  return { ...parts.attributes, kind: "directory" };
}

function symlinkTarget(parts: EntryParts, limits: TarLimits): ByteString {
  refuseSize(parts.size, "E_SIZE_ON_LINK", "A symbolic link");
  if (parts.linkName === "") throw new TarRefusal("E_LINK_EMPTY", "A link to nothing");
  // symlink(2) takes PATH_MAX with its terminating zero.
  if (parts.linkName.length > limits.linkBytesMax) {
    throw new TarRefusal("E_LINK_LONG", `Link target of ${parts.linkName.length} bytes`);
  }
  return parts.linkName;
}

function hardlinkTarget(parts: EntryParts, limits: TarLimits): ByteString {
  refuseSize(parts.size, "E_SIZE_ON_LINK", "A hard link");
  if (parts.linkName === "") throw new TarRefusal("E_LINK_EMPTY", "A link to nothing");
  if (parts.linkName.startsWith("/")) throw badTarget("an absolute path");
  try {
    const target = normalPath(parts.linkName, limits);
    if (target === "") throw badTarget("the root");
    return target;
  } catch (error) {
    if (error instanceof TarRefusal && error.reason === "E_PATH_DOTDOT") throw badTarget('".."');
    throw error;
  }
}

function badTarget(what: string): TarRefusal {
  return new TarRefusal("E_LINK_TARGET", `A hard link to ${what}`);
}

function device(header: TarHeader, parts: EntryParts) {
  refuseSize(parts.size, "E_SIZE", "A device");
  const kind = header.type === "3" ? ("character" as const) : ("block" as const);
  const { deviceMajor: major, deviceMinor: minor } = header;
  return { kind: "device" as const, device: kind, major, minor };
}

/** Data after a header that has none: some readers skip it, others take it for headers. */
function refuseSize(
  size: number | undefined,
  reason: "E_SIZE" | "E_SIZE_ON_DIR" | "E_SIZE_ON_LINK",
  what: string,
): void {
  if (size !== undefined && size !== 0) throw new TarRefusal(reason, `${what} of ${size} bytes`);
}

function paxName(
  pax: TarMeta["pax"],
  key: "path" | "linkpath" | "GNU.sparse.name",
): ByteString | undefined {
  const value = pax?.get(key);
  if (value === undefined) return undefined;
  if (value.includes(0)) throw new TarRefusal("E_PAX_NUL", `A zero byte in the PAX ${key}`);
  if (value.length > 0) return byteString(value);
  const reason = key === "linkpath" ? "E_LINK_EMPTY" : "E_PATH_EMPTY";
  throw new TarRefusal(reason, `The PAX ${key} is empty`);
}

function ownerId(
  pax: TarMeta["pax"],
  key: "uid" | "gid",
  headerId: number,
  limits: TarLimits,
): number {
  const value = pax?.get(key);
  const text = value === undefined ? undefined : byteString(value);
  if (text !== undefined && !/^\d{1,16}$/.test(text)) {
    throw new TarRefusal("E_ID", `The PAX ${key} is "${text.slice(0, 30)}"`);
  }
  const id = text === undefined ? headerId : Number(text);
  if (id < 0 || id > limits.idMax) throw new TarRefusal("E_ID", `${key} ${id} is out of range`);
  return id;
}

function modificationTime(
  pax: TarMeta["pax"],
  headerSeconds: number,
  limits: TarLimits,
): TarAttributes["mtime"] {
  const value = pax?.get("mtime");
  if (value === undefined) return clampedTime(headerSeconds, 0, limits);
  const match = /^(\d{1,20})(?:\.(\d+))?$/.exec(byteString(value));
  const fraction = (match?.[2] ?? "").slice(0, 9).padEnd(9, "0");
  return clampedTime(Number(match?.[1] ?? 0), Number(fraction), limits);
}

function clampedTime(
  seconds: number,
  nanoseconds: number,
  limits: TarLimits,
): TarAttributes["mtime"] {
  if (seconds < 0) return { seconds: 0, nanoseconds: 0 };
  if (seconds >= limits.mtimeSecondsMax) return { seconds: limits.mtimeSecondsMax, nanoseconds: 0 };
  return { seconds, nanoseconds };
}

function printableType(type: string): string {
  return /^[!-~]$/.test(type) ? type : `0x${type.charCodeAt(0).toString(16)}`;
}

/** The name inside a GNU long-name entry. */
export function gnuLongName(body: Uint8Array): ByteString {
  return byteStringToZero(body);
}
