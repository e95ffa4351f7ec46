import { readlinkSync, statSync } from "node:fs";
import { hasCode } from "../filesystem.ts";
import { CopyTrouble, specialIsThere } from "./copy-trouble.ts";
import { DescriptorFolder } from "./descriptor-folder.ts";
import type { Folder } from "./folder.ts";
import { basenameOf, dirnameOf, joinPath, pathText } from "./path-bytes.ts";
import { PathFolder } from "./path-folder.ts";

/** Where the top of what is copied goes. */
export interface Destination {
  readonly folder: Folder;
  readonly path: Buffer;
  /** In place of the name it had; undefined: under its own name. */
  readonly name: Buffer | undefined;
}

/** Follows links, as every path that a person names. Throws `CopyTrouble`, or what the system says. */
export function openDestination(path: Buffer, intoFolder: boolean): Destination {
  const there = kindOf(path);
  if (there === "special")
    throw new CopyTrouble("in-the-way", `${pathText(path)}: ${specialIsThere}`);
  if (there === "folder") return { folder: openFolder(path), path, name: undefined };
  if (intoFolder)
    throw there === "missing"
      ? new CopyTrouble("missing", `${pathText(path)}: there is no such folder`)
      : new CopyTrouble("not-folder", `${pathText(path)}: is not a folder`);
  const real = there === "missing" ? path : behindLinks(path);
  const parent = dirnameOf(real);
  if (kindOf(parent) === "missing")
    throw new CopyTrouble("missing", `${pathText(parent)}: there is no such folder`);
  return { folder: openFolder(parent), path: parent, name: basenameOf(real) };
}

/**
 * Of a file that is there. Bun's own way (realpath) asks /proc about itself, and a guest's /proc does not
 * know the process that copies there.
 */
function behindLinks(path: Buffer): Buffer {
  let real = path;
  for (let hops = 0; hops < linksMax; hops++) {
    const target = linkTarget(real);
    if (target === undefined) return real;
    real = target[0] === slash ? target : joinPath(dirnameOf(real), target);
  }
  throw new CopyTrouble("in-the-way", `${pathText(path)}: too many symbolic links`);
}

function linkTarget(path: Buffer): Buffer | undefined {
  try {
    return readlinkSync(path, { encoding: "buffer" });
  } catch (error) {
    if (hasCode(error, "EINVAL")) return undefined;
    throw error;
  }
}

function openFolder(path: Buffer): Folder {
  return process.platform === "linux" ? DescriptorFolder.open(path) : PathFolder.open(path);
}

function kindOf(path: Buffer): "folder" | "file" | "missing" | "special" {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) return "folder";
    return stats.isFile() ? "file" : "special";
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "missing";
    throw error;
  }
}

const slash = 0x2f;
/** As many as Linux follows: path_resolution(7). */
const linksMax = 40;
