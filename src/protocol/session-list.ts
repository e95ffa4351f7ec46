import { limits } from "./limits.ts";
import { encodeJson } from "./message.ts";
import type { SessionList } from "./session-message.ts";

/**
 * Reply to `sessions`. Long texts are cut, and cut shorter while the whole does not fit one frame;
 * no session is left out before there are `sessionsMax` newer ones.
 */
export function encodeSessionList(list: SessionList): Uint8Array<ArrayBuffer> {
  const newest = list.sessions.slice(-limits.sessionsMax);
  let charsMax: number = limits.listedCharsMax;
  for (;;) {
    const sessions: SessionList["sessions"] = [];
    for (const session of newest)
      sessions.push({
        ...session,
        argv: clipWords(session.argv, charsMax),
        context: session.context === null ? null : clip(session.context, charsMax),
        user: clip(session.user, charsMax),
        cwd: clip(session.cwd, charsMax),
      });
    const payload = encodeJson({ sessions });
    if (payload.length <= limits.replyBytesMax || charsMax === 0) return payload;
    charsMax >>>= 1;
  }
}

function clip(text: string, charsMax: number): string {
  return text.slice(0, charsMax).toWellFormed();
}

function clipWords(words: readonly string[], charsMax: number): string[] {
  const kept: string[] = [];
  let left = charsMax;
  for (const word of words) {
    if (word.length > left) {
      kept.push(`${word.slice(0, left).toWellFormed()}…`);
      break;
    }
    kept.push(word);
    left -= word.length + 1;
    if (left <= 0) break;
  }
  return kept;
}
