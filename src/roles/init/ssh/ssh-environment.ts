import { sshLimits } from "./limits.ts";

/** What a client may set without being asked: what Debian's sshd accepts, and what editors and git send. */
export function mayBeSet(name: string): boolean {
  return exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

const exact: ReadonlySet<string> = new Set(["LANG", "COLORTERM", "NO_COLOR", "TERM_PROGRAM"]);
const prefixes = ["LC_", "GIT_", "VSCODE_", "TERM_PROGRAM_"] as const;

/** Variables of one session, as its client sent them one by one. */
export class SshEnvironment {
  readonly #variables: Record<string, string> = {};
  #count = 0;
  #bytes = 0;

  /** False for one that is not taken. */
  set(name: string, value: string): boolean {
    const bytes = name.length + value.length;
    if (!mayBeSet(name) || value.includes("\0") || !value.isWellFormed()) return false;
    if (this.#count >= sshLimits.variablesMax) return false;
    if (this.#bytes + bytes > sshLimits.variablesBytesMax) return false;
    this.#count += 1;
    this.#bytes += bytes;
    this.#variables[name] = value;
    return true;
  }

  get variables(): Readonly<Record<string, string>> {
    return this.#variables;
  }
}
