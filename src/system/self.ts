import { fileURLToPath } from "node:url";

/** How to start this very program again in another role, compiled or from source (tests). */
export function selfCommand(role: string, ...words: readonly string[]): string[] {
  const compiled = import.meta.url.includes("/$bunfs/");
  const source = compiled ? [] : [fileURLToPath(new URL("../main.ts", import.meta.url))];
  return [process.execPath, ...source, role, ...words];
}
