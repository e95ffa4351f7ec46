import { type Command, defineCommand } from "../../cli/command.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { limits } from "../../protocol/limits.ts";

/**
 * What is asked in the machine itself, as Fly's `exec` does for administrators: whoever may run
 * something there as root may ask the keeper, without a login.
 */
const runDir = {
  "run-dir": {
    value: "PATH",
    env: "VAULT_RUN_DIR",
    summary: "where the running init has its sockets (default /run/fly-vault)",
  },
} as const;

const sessions = defineCommand({
  name: "sessions",
  summary: "count the sessions of the init that runs here, as one JSON object",
  description:
    "running: all that have not ended. open: those of them that an end of the machine would be felt by: " +
    "somebody is attached, or something runs in it; a shell that nobody looks at and that waits at its " +
    "prompt is none.",
  flags: runDir,
  run: async ({ flags }, context) => {
    const { countSessions } = await import("./keeper-questions.ts");
    await context.stdout.write(`${JSON.stringify(await countSessions(flags["run-dir"]))}\n`);
    return 0;
  },
});

const log = defineCommand({
  name: "log",
  summary: "print the last lines of the log of the init that runs here",
  flags: {
    tail: {
      value: "N",
      summary: `so many lines, up to ${limits.logLinesMax} (default 20)`,
    },
    ...runDir,
  },
  run: async ({ flags }, context) => {
    const lines = Number(/^\d{1,4}$/u.exec(flags.tail ?? "20")?.[0]);
    if (!(lines <= limits.logLinesMax))
      throw new UsageError(`--tail is a number up to ${limits.logLinesMax}`);
    const { readLog } = await import("./keeper-questions.ts");
    const text = (await readLog(flags["run-dir"], lines)).map((line) => `${line}\n`).join("");
    await context.stdout.write(text);
    return 0;
  },
});

export const selfReports: readonly Command[] = [sessions, log];
