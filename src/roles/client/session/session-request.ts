import type { Context } from "../../../cli/context.ts";
import { limits } from "../../../protocol/limits.ts";
import type {
  SessionAttachRequest,
  SessionOpenRequest,
} from "../../../protocol/session-message.ts";
import { printableLine } from "../../../protocol/printable-line.ts";

/** 32 hexadecimal digits: the name of a session, or of this client process. */
export function randomName(context: Pick<Context, "randomBytes">): string {
  return Buffer.from(context.randomBytes(16)).toString("hex");
}

export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

export function terminalSize(context: Context): TerminalSize {
  const { rows, columns } = context.stdout;
  return { rows: clampSize(rows), cols: clampSize(columns) };
}

/** How this computer is called in the list of a session's clients. */
export function clientLabel({ hostName }: Pick<Context, "hostName">): string {
  return printableLine(hostName.split(".")[0] ?? "", limits.labelBytesMax);
}

export function openRequest(fields: Omit<SessionOpenRequest, "type">): SessionOpenRequest {
  return { type: "session-open", ...fields };
}

/** From the start of what is kept: a client that comes new has shown nothing. */
export function attachRequest(
  session: string,
  client: string,
  size: TerminalSize | undefined,
  fields: Partial<
    Pick<SessionAttachRequest, "mode" | "generation" | "tail_bytes" | "tail_lines">
  > = {},
): SessionAttachRequest {
  return {
    type: "session-attach",
    session,
    client,
    stdout_offset: 0,
    stderr_offset: 0,
    mode: "take-over",
    ...size,
    ...fields,
  };
}

function clampSize(value: number): number {
  return Math.min(Math.max(Math.trunc(value), 1), 65_535);
}
