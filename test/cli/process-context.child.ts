import { writeSync } from "node:fs";
import { processContext } from "../../src/cli/process-context.ts";

/** Says on descriptor 3 which streams are terminals, and which of Bun's streams were made to find out. */
const made: string[] = [];
for (const name of ["stdin", "stdout", "stderr"] as const) {
  const stream = process[name];
  Object.defineProperty(process, name, {
    configurable: true,
    get: () => {
      made.push(name);
      return stream;
    },
  });
}
const context = processContext();
const terminals = (["stdin", "stdout", "stderr"] as const).filter((name) => context[name].isTty);
context.stdin.setMode("lines");
writeSync(3, JSON.stringify({ terminals, made }));
