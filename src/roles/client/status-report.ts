import { fstatSync, writeSync } from "node:fs";
import type { Flags } from "../../cli/command.ts";
import { Failure, failureFields } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { Exit } from "../../protocol/message.ts";
import { endingOf, sessionDocument } from "./session-json.ts";

export const statusFlags = {
  "status-fd": { value: "N", summary: "say on this descriptor how it ended, as JSON" },
} as const satisfies Flags;

/** What an exit status alone cannot tell: whose it is, the command's or ours. Filled in on the way. */
export interface StatusReport {
  session?: string;
  exit?: Exit;
  left?: boolean;
}

/** Runs `work`, and then says on the descriptor of `--status-fd`, where there is one, how it ended. */
export async function withStatus(
  said: string | undefined,
  work: (report: StatusReport) => Promise<number>,
): Promise<number> {
  const fd = descriptorOf(said);
  const report: StatusReport = {};
  const tell = (status: number, error?: Failure): void => {
    if (fd !== undefined) writeAll(fd, statusLine(report, status, error));
  };
  try {
    const status = await work(report);
    tell(status);
    return status;
  } catch (error) {
    if (error instanceof Failure) tell(error.exitCode, error);
    throw error;
  }
}

function statusLine(
  { session, exit, left }: StatusReport,
  status: number,
  error?: Failure,
): string {
  return sessionDocument("status", {
    session_id: session ?? null,
    status,
    left: left ?? false,
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
