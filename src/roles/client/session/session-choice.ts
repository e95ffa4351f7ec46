import { Failure } from "../../../cli/failure.ts";
import { didYouMean } from "../../../cli/nearest.ts";
import { FrameStream } from "../../../protocol/frame.ts";
import { request } from "../../../protocol/message.ts";
import { type SessionList, sessionListSchema } from "../../../protocol/session-message.ts";
import { answer } from "../link/answer.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { clientLimits } from "../limits.ts";
import { overLink } from "../link/over-link.ts";

export type ListedSession = SessionList["sessions"][number];

/** All sessions of the vault, oldest first. */
export async function listSessions(link: AttestedLink): Promise<readonly ListedSession[]> {
  return overLink(link, async (connection) => {
    const frames = new FrameStream(await connection.openStream());
    return (await answer(request(frames, { type: "sessions" }, sessionListSchema))).sessions;
  });
}

/** The one a user means by `word`. Rejects with a `Failure` that knows the names there are. */
export async function findSession(
  link: AttestedLink,
  word: string,
  vault: string,
): Promise<ListedSession> {
  return chooseSession(await listSessions(link), word, vault);
}

/** By its id, by its name, or by the beginning of an id that no other shares. Throws `Failure`. */
export function chooseSession(
  sessions: readonly ListedSession[],
  word: string,
  vault: string,
): ListedSession {
  const named = sessions.filter(({ name }) => name === word);
  const alike = word === "" ? [] : sessions.filter(({ session_id: id }) => id.startsWith(word));
  const isTooShort = word.length < clientLimits.idPrefixCharsMin;
  const begun = isTooShort ? [] : alike;
  const found =
    sessions.find(({ session_id: id }) => id === word) ??
    named.find(({ state }) => state === "running") ??
    named.at(-1) ??
    (begun.length === 1 ? begun[0] : undefined);
  if (found !== undefined) return found;
  const words = sessions.map(({ name, session_id: id }) => name ?? id);
  const listed = words.slice(-clientLimits.namesListedMax).toReversed().join(", ");
  throw new Failure(
    "FV-SES-001",
    `there is no session "${word}" on "${vault}"${didYouMean(word, words)}`,
    {
      because:
        isTooShort && alike.length > 0
          ? `an id that begins so is there, but it takes ${clientLimits.idPrefixCharsMin} of its digits`
          : describeNone(begun.length, words.length, listed),
      fix: `fly-vault sessions ${vault} --all`,
    },
  );
}

function describeNone(begun: number, there: number, listed: string): string {
  if (begun > 1) return `${begun} ids begin so`;
  return there === 0
    ? "it has no sessions"
    : `it has ${listed}${there > clientLimits.namesListedMax ? ", …" : ""}`;
}
