import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { isTerminalName, isTerminfo } from "../../../protocol/terminfo.ts";
import { readFileHead } from "../../../system/file-head.ts";
import { clientLimits } from "../limits.ts";

/**
 * The compiled description of a terminal, from where ncurses looks for it. Undefined when this computer
 * has none either, or keeps it in another form (a hashed database).
 */
export function findTerminfo(term: string, env: Context["env"]): Uint8Array | undefined {
  if (!isTerminalName(term)) return undefined;
  const letter = term.charAt(0);
  const hex = letter.charCodeAt(0).toString(16).padStart(2, "0");
  for (const folder of terminfoFolders(env)) {
    for (const inner of [letter, hex]) {
      const bytes = readIfThere(join(folder, inner, term));
      if (bytes !== undefined && isTerminfo(bytes)) return bytes;
    }
  }
  return undefined;
}

function readIfThere(path: string): Uint8Array | undefined {
  try {
    const bytes = readFileHead(path, clientLimits.terminfoBytesMax);
    return bytes.length > clientLimits.terminfoBytesMax ? undefined : bytes;
  } catch {
    return undefined;
  }
}

function terminfoFolders(env: Context["env"]): string[] {
  const own = [env["TERMINFO"], env["HOME"] && join(env["HOME"], ".terminfo")];
  const more = env["TERMINFO_DIRS"]?.split(":").slice(0, foldersMax) ?? [];
  const found = [...own, ...more, ...systemFolders].filter((folder) => folder?.startsWith("/"));
  return found.flatMap((folder) => folder ?? []);
}

const foldersMax = 16;
const systemFolders = [
  "/etc/terminfo",
  "/lib/terminfo",
  "/usr/share/terminfo",
  "/usr/lib/terminfo",
  "/usr/local/share/terminfo",
  "/opt/homebrew/share/terminfo",
  "/usr/share/misc/terminfo",
];
