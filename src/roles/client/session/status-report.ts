import { fstatSync, writeSync } from "node:fs";
import type { Flags } from "../../../cli/command.ts";
import { BrokenPipe, brokenPipeExitCode } from "../../../cli/context.ts";
import { Failure, failureFields } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { SessionReport } from "./session-run.ts";

export const statusFlags = {
  "status-fd": { value: "N", summary: "say on this descriptor how it ended, as JSON" },
} as const satisfies Flags;

/** Runs `work`, and then says on the descriptor of `--status-fd`, where there is one, how it ended. */
export async function withStatus(
  said: string | undefined,
  work: (report: SessionReport) => Promise<number>,
): Promise<number> {
  const fd = descriptorOf(said);
  const report: SessionReport = {};
  const tell = async (status: number, error?: Failure): Promise<void> => {
    if (fd !== undefined) writeAll(fd, await statusLine(report, status, error));
  };
  try {
    const status = await work(report);
    await tell(status);
    return status;
  } catch (error) {
    if (error instanceof BrokenPipe) await tell(brokenPipeExitCode);
    const failure = asFailure(error);
    if (failure !== undefined) await tell(failure.exitCode, failure);
    throw error;
  }
}

function asFailure(error: unknown): Failure | undefined {
  if (error instanceof UsageError) return new Failure("FV-CLI-001", error.message);
  return error instanceof Failure ? error : undefined;
}

/** What an exit status alone cannot tell: whose it is, the command's or ours. */
async function statusLine(
  { session, exit }: SessionReport,
  status: number,
  error?: Failure,
): Promise<string> {
  const { endingOf, sessionDocument } = await import("./session-json.ts");
  const isGone = error?.code === "FV-SES-003";
  return sessionDocument("exit-status", {
    session_id: session ?? null,
    status,
    left: session !== undefined && exit === undefined && !isGone,
    ...endingOf(exit ?? null),
    error: error === undefined ? null : failureFields(error),
  });
}

/** Checked before anything is done: afterwards nobody could be told. */
function descriptorOf(said: string | undefined): number | undefined {
  if (said === undefined) return undefined;
  const fd = /^\d{1,5}$/.test(said) ? Number(said) : -1;
  try {
    fstatSync(fd);
    return fd;
  } catch {
    throw new UsageError(`--status-fd ${said} is not an open descriptor`);
  }
}

function writeAll(fd: number, text: string): void {
  try {
    // Shorter than what every pipe takes at once.
    writeSync(fd, text);
  } catch {
    // Nobody reads it any more; the exit status is the same.
  }
}
