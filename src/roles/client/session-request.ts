import type { Context } from "../../cli/context.ts";
import type { SessionAttachRequest, SessionOpenRequest } from "../../protocol/message.ts";

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

/** What a program on a terminal needs to know of it. */
export function terminalEnv(env: Context["env"]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    const travels =
      name === "TERM" || name === "COLORTERM" || name === "LANG" || name.startsWith("LC_");
    if (travels && value !== undefined && value !== "") found[name] = value;
  }
  return found;
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
