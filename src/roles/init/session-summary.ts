import type { Exit, SessionList } from "../../protocol/session-message.ts";
import type { Session } from "./session.ts";

/** A line of the list. */
export function describeSession(session: Session): SessionList["sessions"][number] {
  const { program, state, running, endedAtMs } = session;
  const exit = state.exit ?? null;
  return {
    session_id: session.id,
    ...(session.name === undefined ? {} : { name: session.name }),
    generation: session.generation,
    argv: [...program.argv],
    context: session.request.context ?? null,
    user: program.user,
    cwd: program.cwd,
    tty: session.request.tty,
    state: running ? "running" : "ended",
    // Once it has ended the number may be another's.
    pid: running ? (program.insidePid ?? null) : null,
    // Whoever still reads the rest of one that ended holds nothing.
    attached: running && session.attached,
    clients: session.clientCount,
    ...(session.isAtPrompt ? { at_prompt: true } : {}),
    attachments: session.clients.map(({ label, sinceMs, size }) => ({
      label: label ?? null,
      since: new Date(sinceMs).toISOString(),
      tty: size !== undefined,
    })),
    stdout_bytes: state.stdout.endOffset,
    stderr_bytes: state.stderr.endOffset,
    started_at: new Date(session.startedAtMs).toISOString(),
    ended_at: endedAtMs === undefined ? null : new Date(endedAtMs).toISOString(),
    exit_code: exit === null ? null : exitCode(exit),
    exit,
    seen: session.seen,
  };
}

/** For the end of a sentence: ` (exit code 2)`. */
export function describeExit(exit: Exit | undefined): string {
  if (exit === undefined) return "";
  return "code" in exit ? ` (exit code ${exit.code})` : ` (by signal ${exit.signal})`;
}

/** As shells show a signal, and timeout(1) that the time ran out. */
function exitCode(exit: Exit): number {
  if ("code" in exit) return exit.code;
  return exit.timed_out === true ? 124 : 128 + exit.signal;
}
