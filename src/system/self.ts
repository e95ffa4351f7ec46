import { fileURLToPath } from "node:url";

/** Whether this is the one executable; else it runs from its source, by Bun. */
export const isCompiled: boolean = /\/\$bunfs\/|\/~BUN\//.test(import.meta.url);
const source = isCompiled ? [] : [fileURLToPath(new URL("../main.ts", import.meta.url))];

/**
 * This very program, whatever stands by now where its file was. Means us only where we start it
 * ourselves: for a program in between it is that one.
 */
export const ownExecutable = "/proc/self/exe";
export const ownProgram: readonly string[] = [ownExecutable, ...source];

/** What stands now where this program came from. Read at the start: later it would say "(deleted)". */
export const programOnDisk: readonly string[] = [process.execPath, ...source];

/** How to start this program again in another role, compiled or from source (tests). */
export function selfCommand(role: string, ...words: readonly string[]): string[] {
  return [...programOnDisk, role, ...words];
}
