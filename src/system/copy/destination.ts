import { statSync } from "node:fs";
import { canonicalPath } from "../canonical-path.ts";
import { hasCode } from "../filesystem.ts";
import { CopyTrouble, specialIsThere, troubleOf } from "./copy-trouble.ts";
import { DescriptorFolder } from "./descriptor-folder.ts";
import type { Folder } from "./folder.ts";
import { basenameOf, dirnameOf, pathText } from "./path-bytes.ts";
import { PathFolder } from "./path-folder.ts";

/** Where the top of what is copied goes. */
export interface Destination {
  readonly folder: Folder;
  readonly path: Buffer;
  /** In place of the name it had; undefined: under its own name. */
  readonly name: Buffer | undefined;
}

/** Follows links, as every path that a person names. */
export function destinationOrTrouble(path: Buffer, intoFolder: boolean): Destination | CopyTrouble {
  try {
    return openDestination(path, intoFolder);
  } catch (error) {
    return troubleOf(error, pathText(path));
  }
}

function openDestination(path: Buffer, intoFolder: boolean): Destination {
  const there = kindOf(path);
  if (there === "special")
    throw new CopyTrouble("in-the-way", `${pathText(path)}: ${specialIsThere}`);
  if (there === "folder") return { folder: openFolder(path), path, name: undefined };
  if (intoFolder)
    throw there === "missing"
      ? new CopyTrouble("missing", `${pathText(path)}: there is no such folder`)
      : new CopyTrouble("not-folder", `${pathText(path)}: is not a folder`);
  const real = there === "missing" ? path : canonicalPath(path);
  const parent = dirnameOf(real);
  if (kindOf(parent) === "missing")
    throw new CopyTrouble("missing", `${pathText(parent)}: there is no such folder`);
  return { folder: openFolder(parent), path: parent, name: basenameOf(real) };
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
