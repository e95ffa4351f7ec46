import { writeSync } from "node:fs";
import { processContext } from "../../src/cli/process-context.ts";

/** Says whether a SIGHUP came before standard input ended. */
const { onStop, stdin } = processContext({ heedsNohup: process.argv[2] === "heeds" });
onStop((signal) => {
  writeSync(1, `${signal}\n`);
  process.exit(0);
});
writeSync(1, "ready\n");
for await (const _ of stdin.read());
await Bun.sleep(100);
writeSync(1, "ended\n");
process.exit(0);
