import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What /proc says of a process: nothing where it is gone by now, somebody else's, or there is no /proc. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

export function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
