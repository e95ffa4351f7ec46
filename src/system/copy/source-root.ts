import { lstatSync, readdirSync } from "node:fs";
import { hasCode } from "../filesystem.ts";
import { copyLimits } from "./copy-limits.ts";
import { CopyTrouble } from "./copy-trouble.ts";
import { basenameOf, endsInSlash, joinPath, pathText } from "./path-bytes.ts";

/** What is copied: a path as it was said, and the name it has at the destination. */
export interface SourceRoot {
  readonly path: Buffer;
  /** "." is what is in the folder, without the folder. */
  readonly name: Buffer;
  /** A link is what it leads to. */
  readonly follow: boolean;
}

export function sourceRoot(path: Buffer, recursive: boolean): SourceRoot {
  const base = basenameOf(path).toString("latin1");
  const isDots = base === "." || base === ".." || base === "/";
  const follow = !recursive || endsInSlash(path) || isDots;
  return { path, name: isDots ? Buffer.from(".") : basenameOf(path), follow };
}

/**
 * `*`, `?` and `[…]` as a shell has them, by single names; a file that really has that name comes
 * first, and a pattern that matches nothing is one, too. There is no shell there that would do it.
 */
export function expandGlob(path: Buffer): Buffer[] {
  const text = path.toString("utf8");
  if (!isPattern(text) || exists(path)) return [path];
  const slash = text.endsWith("/") ? "/" : "";
  let found: Buffer[] = [Buffer.from(text.startsWith("/") ? "/" : "")];
  for (const part of text.split("/").filter((word) => word !== ""))
    found = found
      .flatMap((folder) => matching(folder, part))
      .slice(0, copyLimits.globMatchesMax + 1);
  if (found.length === 0) return [path];
  if (found.length > copyLimits.globMatchesMax)
    throw new CopyTrouble("too-many", `${text}: more than ${copyLimits.globMatchesMax} match`);
  return found
    .toSorted((one, other) => one.compare(other))
    .map((match) => Buffer.concat([match, Buffer.from(slash)]));
}

export function isPattern(text: string): boolean {
  return /[*?[]/.test(text);
}

/** By the rules of a shell: hidden names only for a pattern that begins with a dot; `{`, `}` and a `!` in front mean themselves. */
export function nameMatcher(pattern: string): (name: string) => boolean {
  const glob = new Bun.Glob(pattern.replaceAll(/^!|[{}]/g, "\\$&"));
  const takesHidden = pattern.startsWith(".");
  return (name) => glob.match(name) && (takesHidden || !name.startsWith("."));
}

/** Names as they are: not all are text. */
function matching(folder: Buffer, part: string): Buffer[] {
  const at = (name: Buffer): Buffer => joinPath(folder, name);
  if (!isPattern(part)) return [at(Buffer.from(part))].filter(exists);
  const matches = nameMatcher(part);
  try {
    return readdirSync(folder.length === 0 ? "." : folder, { encoding: "buffer" })
      .filter((name) => matches(pathText(name)))
      .map(at);
  } catch {
    return [];
  }
}

function exists(path: Buffer): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return !hasCode(error, "ENOENT", "ENOTDIR");
  }
}
