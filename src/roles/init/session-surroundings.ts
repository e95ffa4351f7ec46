import type { SessionOpenRequest } from "../../protocol/session-message.ts";
import { asUser } from "../../system/process-credentials.ts";
import type { Account } from "./account.ts";
import { hasLocale } from "./guest-locale.ts";
import { installTerminfo, knowsTerminal } from "./guest-terminfo.ts";

/** What a client's surroundings become inside. */
export interface SessionSurroundings {
  readonly env: Readonly<Record<string, string>>;
  /** TERM where it is not the one that was asked for: the client says so. */
  readonly term: string | undefined;
}

/**
 * Called in the workload's root. A language that nobody installed becomes C.UTF-8 without a word: what
 * matters of it is that letters stay whole. A terminal that is not known is made known, if its
 * description came along.
 */
export function adaptSurroundings(
  { ambient = {}, terminfo, env = {} }: SessionOpenRequest,
  account: Account,
): SessionSurroundings {
  const adapted: Record<string, string> = {};
  for (const [name, value] of Object.entries(ambient)) {
    const isLocale = name === "LANG" || name.startsWith("LC_");
    adapted[name] = isLocale && !hasLocale(value) ? "C.UTF-8" : value;
  }
  const wanted = adapted["TERM"];
  if (wanted === undefined || env["TERM"] !== undefined || terminfo === undefined)
    return { env: adapted, term: undefined };
  const term = knownTerminal(wanted, terminfo.data, account);
  return { env: { ...adapted, TERM: term }, term: term === wanted ? undefined : term };
}

/** Where not even the substitute is known there is no database, and no program that would ask it. */
function knownTerminal(wanted: string, data: string | undefined, account: Account): string {
  const { home, uid, gid } = account;
  if (knowsTerminal(wanted, home)) return wanted;
  const install = (): boolean =>
    data !== undefined && installTerminfo(wanted, home, Buffer.from(data, "base64"));
  if (uid === 0 && gid === 0 ? install() : asUser(account, install)) return wanted;
  return knowsTerminal(substitute, home) ? substitute : wanted;
}

const substitute = "xterm-256color";
