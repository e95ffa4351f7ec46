import { writeSync } from "node:fs";
import { processOutput } from "../../src/cli/process-output.ts";

/** Writes so many bytes to standard output, twice, and says on descriptor 3 how that went and whether Bun's stream was made. */
const stream = process.stdout;
let isMade = false;
Object.defineProperty(process, "stdout", {
  get: () => {
    // For who waits until the pipe is full; JSON may begin with it.
    if (!isMade) writeSync(3, "\n");
    isMade = true;
    return stream;
  },
});
const bytes = Number(process.argv[2]);
const output = processOutput(1);
let error: string | undefined;
try {
  await output.write("a".repeat(bytes));
  await output.write("b".repeat(bytes));
} catch (caught) {
  error = caught instanceof Error ? `${caught.name}: ${caught.message}` : String(caught);
}
writeSync(3, JSON.stringify({ isMade, ...(error === undefined ? {} : { error }) }));
process.exit(0);
