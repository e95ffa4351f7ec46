import { join } from "node:path";
import * as v from "valibot";
import { type Command, defineCommand } from "../../cli/command.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../protocol/errors.ts";
import { FrameStream } from "../../protocol/frame.ts";
import { limits } from "../../protocol/limits.ts";
import {
  initLogReplySchema,
  request,
  type Request,
  type SessionList,
  sessionListSchema,
} from "../../protocol/message.ts";
import { connectUnix, SocketError } from "../../system/tcp-stream.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";

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
    const list = await askKeeper(flags["run-dir"], { type: "sessions" }, sessionListSchema);
    await context.stdout.write(`${JSON.stringify(sessionCounts(list))}\n`);
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
    const asked = { type: "init-log", lines } as const;
    const reply = await askKeeper(flags["run-dir"], asked, initLogReplySchema);
    await context.stdout.write(reply.lines.map((line) => `${line}\n`).join(""));
    return 0;
  },
});

export const selfReports: readonly Command[] = [sessions, log];

export function sessionCounts(list: SessionList): { open: number; running: number } {
  const running = list.sessions.filter(({ state }) => state === "running");
  const open = running.filter(({ attached, at_prompt: atPrompt }) => attached || atPrompt !== true);
  return { open: open.length, running: running.length };
}

async function askKeeper<Schema extends v.GenericSchema>(
  folder: string | undefined,
  asked: Request,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const path = join(folder ?? "/run/fly-vault", "keeper.sock");
  try {
    const frames = new FrameStream(await connectUnix(path, initLimits.keeperConnectMs));
    const reply = await within(request(frames, asked, schema), initLimits.selfReportMs);
    if (reply !== late) return reply;
    throw new WireError(`no answer within ${initLimits.selfReportMs} ms`);
  } catch (error) {
    const known = [SocketError, StreamError, RemoteError, WireError].some(
      (kind) => error instanceof kind,
    );
    if (!known || !(error instanceof Error)) throw error;
    throw new Failure("FV-VM-003", `no init answers at ${path}`, { because: error.message });
  }
}
