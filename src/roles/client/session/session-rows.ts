import type { Context } from "../../../cli/context.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { formatSize } from "../../../cli/size.ts";
import { printable } from "../../../cli/printable.ts";
import { clipCell, tableGap } from "../../../cli/table.ts";
import type { Exit } from "../../../protocol/session-message.ts";
import { clientLimits } from "../limits.ts";
import type { ListedSession } from "./session-choice.ts";
import { signalName } from "./signal-name.ts";

export const sessionHeads: readonly string[] =
  "NAME COMMAND STATE ATTACHED STARTED OUTPUT NOTE".split(" ");

/** For a person at a terminal short enough for one line each; for a pipe whole. */
export function sessionRows(
  sessions: readonly ListedSession[],
  { stdout, wallMs }: Pick<Context, "stdout" | "wallMs">,
): string[][] {
  const name = (id: string): string =>
    stdout.isTty && isRandomId.test(id) ? id.slice(0, clientLimits.idShownChars) : id;
  const started = (at: string): string =>
    stdout.isTty ? `${formatDuration(wallMs() - Date.parse(at))} ago` : at;
  const rows = sessions.map((session) => [
    session.name ?? name(session.session_id),
    quoteWords(session.argv),
    describeState(session),
    session.attached ? String(session.clients) : "no",
    started(session.started_at),
    formatSize(session.stdout_bytes + session.stderr_bytes),
    session.context ?? "",
  ]);
  return stdout.isTty ? clipCommands(rows, stdout.columns) : rows;
}

const isRandomId = /^[0-9a-f]{32}$/;

function describeState({ exit }: ListedSession): string {
  return exit === null ? "running" : describeExit(exit);
}

function describeExit(exit: Exit): string {
  if ("code" in exit) return `exited ${exit.code}`;
  if (exit.timed_out === true) return "timed out";
  const killed = `killed by ${signalName(exit.signal)}`;
  return exit.out_of_memory === true ? `${killed}, out of memory` : killed;
}

/** As one would type them. */
export function quoteWords(words: readonly string[]): string {
  return words
    .map((word) =>
      /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`,
    )
    .join(" ");
}

/** What is left of the line is the command's. */
function clipCommands(rows: readonly string[][], columns: number): string[][] {
  const widths = [sessionHeads, ...rows]
    .map((row) => row.map((cell) => Bun.stringWidth(printable(cell))))
    .reduce((a, b) => a.map((width, column) => Math.max(width, b[column] ?? 0)));
  const all = widths.reduce((sum, width) => sum + tableGap.length + width);
  const room = Math.max(clientLimits.listedCommandCharsMin, columns - (all - (widths[1] ?? 0)));
  return rows.map(([name = "", command = "", ...rest]) => [name, clipCell(command, room), ...rest]);
}
