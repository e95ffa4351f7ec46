import * as v from "valibot";
import { limits } from "./limits.ts";
import {
  argv,
  durationMs,
  envName,
  name,
  note,
  offset,
  signal,
  size,
  terminalMode,
  text,
  textUpTo,
} from "./message-fields.ts";

/** What clients ask about sessions, and what they are told. */

/** For people who find the session in somebody's hands: the name of that one's computer. */
const clientLabel = v.pipe(textUpTo(limits.labelBytesMax), v.regex(/^\P{Cc}*$/u));

/** Which session is meant. */
const chosen = {
  /** Id or name. */
  session: name,
  /** From the reply to `session-open`; another generation is another process, answered by `gone`. */
  generation: v.optional(name),
};

export const sessionOpen = v.object({
  type: v.literal("session-open"),
  /** Chosen by the client, random: opening twice with one id is one session (nothing runs twice). */
  id: name,
  /** Chosen once by each client process, random: stdin is counted apart for every client. */
  client: name,
  /** What people call it; the default shell session is "main". */
  name: v.optional(name),
  /** Absent: the login shell. */
  argv: v.optional(argv),
  tty: v.boolean(),
  rows: v.optional(size),
  cols: v.optional(size),
  env: v.optional(v.pipe(v.record(envName, text), v.maxEntries(limits.envItemsMax))),
  cwd: v.optional(text),
  user: v.optional(text),
  context: v.optional(note),
  timeout_ms: v.optional(durationMs),
  /** Nobody stays with it: after the reply nothing follows, and pipes have no stdin. */
  detach: v.optional(v.boolean()),
  /** Of the terminal, as SSH numbers them (RFC 4254, section 8): pairs of opcode and value. */
  modes: v.optional(v.pipe(v.array(terminalMode), v.maxLength(limits.terminalModesMax))),
  /** A line for the user's login shell (`-c`), instead of `argv`. */
  command: v.optional(text),
  client_label: v.optional(clientLabel),
  /**
   * TERM, COLORTERM, LANG and LC_* as the client itself has them. Where the guest has no such locale
   * or terminal another takes its place; what `env` names goes before.
   */
  ambient: v.optional(v.pipe(v.record(envName, text), v.maxEntries(limits.ambientItemsMax))),
  /** Absent: TERM is left alone. `data` is the compiled description, for a guest that has none. */
  terminfo: v.optional(
    v.object({
      data: v.optional(v.pipe(v.string(), v.maxLength(limits.terminfoCharsMax), v.base64())),
    }),
  ),
});

export const sessionAttach = v.object({
  type: v.literal("session-attach"),
  ...chosen,
  /** As in `session-open`: the same over all reconnects of one client process. */
  client: name,
  /** What this client has already shown of each stream. */
  stdout_offset: offset,
  stderr_offset: offset,
  /** `view` reads along and touches nothing: no size, no stdin, nobody waits for it. */
  mode: v.picklist(["take-over", "share", "view"]),
  /** With `view`: of what is there already no more than the last so many bytes of each stream. */
  tail_bytes: v.optional(offset),
  /** With `view`: no more than the last so many lines of each stream; with both the shorter counts. */
  tail_lines: v.optional(offset),
  rows: v.optional(size),
  cols: v.optional(size),
  client_label: v.optional(clientLabel),
});

export const sessionRename = v.object({
  type: v.literal("session-rename"),
  ...chosen,
  /** Absent: it has none from now on. */
  name: v.optional(name),
});

export const sessionSignal = v.object({
  type: v.literal("session-signal"),
  ...chosen,
  signal,
  /** The group in the foreground of its terminal (also where absent), or that of its own program. */
  to: v.optional(v.picklist(["foreground", "program"])),
});

export const sessionWait = v.object({
  type: v.literal("session-wait"),
  ...chosen,
  timeout_ms: v.optional(durationMs),
});

export type SessionOpenRequest = v.InferOutput<typeof sessionOpen>;
export type SessionAttachRequest = v.InferOutput<typeof sessionAttach>;
export type SessionRenameRequest = v.InferOutput<typeof sessionRename>;
export type SessionSignalRequest = v.InferOutput<typeof sessionSignal>;
export type SessionWaitRequest = v.InferOutput<typeof sessionWait>;

/** Reply to `session-open` and `session-attach`. */
export const sessionReplySchema = v.object({
  id: name,
  name: v.optional(name),
  generation: name,
  tty: v.boolean(),
  /** False when the session was there before (a repeated open, or an attach). */
  created: v.boolean(),
  /** Stdin the session has received from this client, which sends from here. */
  stdin_offset: offset,
  /** How far stdout was written by then: what comes before was for those who were there. */
  stdout_end: v.optional(offset),
  /** TERM of a session that was just created, where the guest does not know the one that was asked for. */
  term: v.optional(text),
  /** Of a `view`: where each stream begins on this connection, and how far it was written by then. */
  view: v.optional(
    v.object({
      stdout_offset: offset,
      stderr_offset: offset,
      stdout_end: offset,
      stderr_end: offset,
    }),
  ),
});
export type SessionReply = v.InferOutput<typeof sessionReplySchema>;

export const exitSchema = v.union([
  v.object({ code: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)) }),
  v.object({
    signal,
    timed_out: v.optional(v.boolean()),
    out_of_memory: v.optional(v.boolean()),
  }),
]);
export type Exit = v.InferOutput<typeof exitSchema>;

/** Reply to `session-wait`; without an exit the time ran out first. */
export const sessionEndSchema = v.object({ exit: v.optional(exitSchema) });
export type SessionEnd = v.InferOutput<typeof sessionEndSchema>;

export const sessionListSchema = v.object({
  sessions: v.array(
    v.object({
      session_id: text,
      name: v.optional(text),
      generation: text,
      argv: v.array(text),
      context: v.nullable(text),
      user: text,
      cwd: text,
      tty: v.boolean(),
      state: v.picklist(["running", "ended"]),
      pid: v.nullable(v.number()),
      attached: v.boolean(),
      clients: v.number(),
      /** Of a login shell on a terminal: nothing else is in its foreground. */
      at_prompt: v.optional(v.boolean()),
      /** Of the clients that are counted, those that came first first. */
      attachments: v.optional(
        v.array(v.object({ label: v.nullable(text), since: text, tty: v.boolean() })),
      ),
      stdout_bytes: v.number(),
      stderr_bytes: v.number(),
      started_at: text,
      ended_at: v.nullable(text),
      exit_code: v.nullable(v.number()),
      exit: v.nullable(exitSchema),
      /** Whether a client that drove it was told how it ended. */
      seen: v.optional(v.boolean()),
    }),
  ),
});
export type SessionList = v.InferOutput<typeof sessionListSchema>;
