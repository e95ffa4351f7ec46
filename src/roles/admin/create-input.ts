import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { tokenStrength } from "../../fly/token.ts";
import { readSecretFile } from "./connection.ts";

/** The tenant's token, if one is given. Weak ones work and are warned about. */
export async function readAccessToken(
  flags: {
    readonly "access-token": string | undefined;
    readonly "access-token-file": string | undefined;
  },
  context: Context,
): Promise<string | undefined> {
  const { "access-token": word, "access-token-file": file } = flags;
  if (word !== undefined && file !== undefined) {
    throw new Failure("FV-CLI-001", "--access-token and --access-token-file exclude each other");
  }
  if (word !== undefined) {
    await context.stderr.write(
      "warning: others can read --access-token with ps; use --access-token-file\n",
    );
  }
  const given = word ?? (file === undefined ? undefined : await readSecretFile(file, context));
  if (given === undefined) return undefined;
  if (/[\s\p{Cc}]/u.test(given))
    throw new Failure("FV-CLI-001", "the access token has a blank or a control character in it");
  const strength = tokenStrength(given);
  if (strength === "empty" || strength === "mistyped") {
    throw new Failure("FV-CLI-001", `the access token is ${strength}`, {
      fix: "leave it out to have a new one made",
    });
  }
  if (strength === "weak") {
    await context.stderr.write(
      "warning: this access token is not one of ours and may be guessed; leave it out to have one made\n",
    );
  }
  return given;
}

/** What the template may take from `--var`. */
export function parseVariables(pairs: readonly string[]): Map<string, string> {
  const variables = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    const name = pair.slice(0, Math.max(0, equals));
    // The value may be a secret; without a name all of it may be.
    const shown = equals === -1 ? "--var" : `--var "${name}=…"`;
    const complain = (problem: string): Failure =>
      new Failure("FV-CLI-001", `${shown}: ${problem}`, { fix: "--var NAME=value" });
    if (equals === -1) throw complain("there is no =");
    if (!/^[A-Za-z_][\w-]{0,63}$/u.test(name)) throw complain(`"${name}" is no name`);
    if (["tenant_id", "index", "access_token"].includes(name)) throw complain("the name is taken");
    if (variables.has(name)) throw complain("said twice");
    variables.set(name, pair.slice(equals + 1));
  }
  return variables;
}

export function waitTimeoutMs(text: string | undefined): number {
  if (text === undefined) return 300_000;
  if (/^\d{1,5}$/u.test(text)) return Number(text) * 1_000;
  throw new Failure("FV-CLI-001", `--wait-timeout-secs takes whole seconds, not "${text}"`);
}
