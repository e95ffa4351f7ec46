import { existsSync } from "node:fs";
import { processContext } from "../../../../src/cli/process-context.ts";
import { main } from "../../../../src/roles/client/main.ts";

/** The client with a fault in it: when somebody creates the file that is named first, it throws. */
const [file = "", ...argv] = process.argv.slice(2);
setInterval(() => {
  if (existsSync(file)) queueMicrotask(() => crash());
}, 20);

function crash(): never {
  throw new Error("a fault of ours");
}

process.exit(await main(argv, processContext()));
