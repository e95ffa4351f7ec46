import { join } from "node:path";
import type * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import { StreamError } from "../../protocol/byte-stream.ts";
import { RemoteError, WireError } from "../../protocol/errors.ts";
import { FrameStream } from "../../protocol/frame.ts";
import { initLogReplySchema, request, type Request } from "../../protocol/message.ts";
import { type SessionList, sessionListSchema } from "../../protocol/session-message.ts";
import { connectUnix, SocketError } from "../../system/tcp-stream.ts";
import { late, within } from "../../system/within.ts";
import { initLimits } from "./limits.ts";

/** Sessions of the init that runs here. Rejects with `Failure`. */
export async function countSessions(
  folder: string | undefined,
): Promise<{ readonly open: number; readonly running: number }> {
  return sessionCounts(await askKeeper(folder, { type: "sessions" }, sessionListSchema));
}

/** The last lines of its log, the oldest first. */
export async function readLog(folder: string | undefined, lines: number): Promise<string[]> {
  return (await askKeeper(folder, { type: "init-log", lines }, initLogReplySchema)).lines;
}

function sessionCounts(list: SessionList): { open: number; running: number } {
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
