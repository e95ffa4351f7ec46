import type { Context } from "../../../cli/context.ts";
import { printable } from "../../../cli/printable.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import { type SessionList, sessionListSchema } from "../../../protocol/session-message.ts";
import { answer } from "../link/answer.ts";
import type { LinkConnection } from "../link/attested-link.ts";
import type { Keyboard } from "./keyboard.ts";
import { askLine } from "./ask-line.ts";

/** What to do with a session that somebody else has. */
export type Sharing = "take-over" | "share" | "new";

type Listed = SessionList["sessions"][number];

export async function listSessions(connection: LinkConnection): Promise<readonly Listed[]> {
  const frames = new FrameStream(await connection.openStream());
  return (await answer(request(frames, { type: "sessions" }, sessionListSchema))).sessions;
}

/** The session of that name that runs, if somebody has it. */
export function attachedOne(sessions: readonly Listed[], name: string): Listed | undefined {
  return sessions.find((one) => one.name === name && one.state === "running" && one.attached);
}

/** `NAME-2`, or the first number that no session has. */
export function freeName(sessions: readonly Listed[], name: string): string {
  const taken = new Set(sessions.map((one) => one.name));
  for (let number = 2; ; number += 1)
    if (!taken.has(`${name}-${number}`)) return `${name}-${number}`;
}

/** Asks until the answer is one of the three, Enter being the first; undefined when it was given up. */
export async function askSharing(
  session: Listed,
  keyboard: Keyboard,
  context: Context,
): Promise<Sharing | undefined> {
  const say = (text: string): void => void context.stderr.write(text).catch(() => undefined);
  const question = `${describe(session, context.wallMs())}: [take over] share new `;
  for (;;) {
    const line = await askLine(keyboard, question, say);
    if (line === undefined) return undefined;
    const word = line.trim().toLowerCase().replace(" ", "-");
    const chosen = choices.find((choice) => choice.startsWith(word));
    if (chosen !== undefined) return chosen;
  }
}

/** As in: session "main" is attached on laptop-a (2 m ago) */
function describe({ name, attachments = [] }: Listed, nowMs: number): string {
  const where = attachments.map(({ label, since }) => {
    const ago = formatAgo(nowMs - Date.parse(since));
    return `on ${label === null || label === "" ? "another computer" : printable(label)} (${ago} ago)`;
  });
  return `session "${name}" is attached ${where.length === 0 ? "elsewhere" : where.join(", ")}`;
}

function formatAgo(ms: number): string {
  const seconds = Number.isFinite(ms) ? Math.max(0, Math.floor(ms / 1000)) : 0;
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const choices: readonly Sharing[] = ["take-over", "share", "new"];
