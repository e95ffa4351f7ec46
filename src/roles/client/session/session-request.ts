import type { Context } from "../../../cli/context.ts";
import { formatSize } from "../../../cli/size.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { limits } from "../../../protocol/limits.ts";
import { encodeJson } from "../../../protocol/message.ts";
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

/** Throws `UsageError` for what is more than one request can say. */
export function openRequest(fields: Omit<SessionOpenRequest, "type">): SessionOpenRequest {
  const request = { type: "session-open", ...fields } as const;
  const { argvItemsMax, envItemsMax, requestBytesMax } = limits;
  if ((fields.argv?.length ?? 0) > argvItemsMax)
    throw new UsageError(`COMMAND has more than ${argvItemsMax} words; pipe them to xargs there`);
  if (Object.keys(fields.env ?? {}).length > envItemsMax)
    throw new UsageError(`more than ${envItemsMax} variables of --env and the vault's env`);
  const bytes = encodeJson(request).length;
  if (bytes > requestBytesMax)
    throw new UsageError(
      `COMMAND and its variables are ${formatSize(bytes)}, at most ${formatSize(requestBytesMax)}; pipe the rest to its standard input`,
    );
  return request;
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
