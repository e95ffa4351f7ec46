import { statSync } from "node:fs";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { canAsk } from "../../../cli/can-ask.ts";
import { Prompt } from "../../../cli/prompt.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { readFileHead } from "../../../system/file-head.ts";
import { checkToken, readTokenFile } from "./access-token.ts";
import { clientLimits } from "../limits.ts";
import { answerProblem, type VaultDraft } from "./vault-draft.ts";

/** Everything `add` may be told on the command line; secrets by file alone. */
export const draftFlags = {
  from: { value: "FILE", summary: 'read an invite from here ("-": standard input)' },
  address: { value: "HOST:PORT", summary: "where the machine or its proxy is" },
  org: { value: "SLUG", summary: "organisation on Fly that must vouch for it" },
  app: { value: "NAME", summary: "app on Fly that must be attested" },
  machine: { value: "ID", summary: "the machine; without it the first one seen is remembered" },
  "token-file": { value: "FILE", summary: 'read the access token from here ("-": standard input)' },
  "admission-key-file": { value: "FILE", summary: "read the admission key of a proxy from here" },
  issuer: { value: "URL", summary: "issuer of the evidence (default https://oidc.fly.io/ORG)" },
} as const;

type DraftFlagValues = { readonly [K in keyof typeof draftFlags]: string | undefined };

/** What the invite says, then what the flags say, then the word. */
export async function readDraft(
  flags: DraftFlagValues,
  name: string | undefined,
  context: Context,
): Promise<VaultDraft> {
  const secretFiles = [flags.from, flags["token-file"], flags["admission-key-file"]];
  if (secretFiles.filter((path) => path === "-").length > 1)
    throw new UsageError("standard input can be read once only");
  const draft: VaultDraft = flags.from === undefined ? {} : await readInvite(flags.from, context);
  const said = {
    name,
    address: flags.address,
    org: flags.org,
    app: flags.app,
    machine_id: flags.machine,
    issuer: flags.issuer,
  };
  for (const [key, value] of Object.entries(said) as [keyof typeof said, string | undefined][]) {
    if (value === undefined) continue;
    const problem = answerProblem(key, value);
    if (problem !== undefined) throw new UsageError(`${wordOf(key)} ${problem}`);
    draft[key] = value;
  }
  const vault = { name: draft.name ?? "the vault" };
  if (flags["token-file"] !== undefined)
    draft.access_token = (await readTokenFile(vault, flags["token-file"], context)).token;
  if (flags["admission-key-file"] !== undefined)
    draft.admission_key = await readAdmissionFile(vault, flags["admission-key-file"], context);
  return draft;
}

function wordOf(key: string): string {
  if (key === "name") return "NAME";
  return key === "machine_id" ? "--machine" : `--${key}`;
}

async function readAdmissionFile(
  vault: { readonly name: string },
  path: string,
  context: Context,
): Promise<string> {
  const { token: key } = await readTokenFile(vault, path, context);
  const problem = answerProblem("admission_key", key);
  if (problem !== undefined) throw new UsageError(`the admission key ${problem}`);
  return key;
}

async function readInvite(path: string, context: Context): Promise<VaultDraft> {
  const { decodeInvite, InviteError } = await import("../../../fly/invite.ts");
  const text = path === "-" ? await readTyped(context) : readInviteFile(path);
  try {
    const invite = decodeInvite(text);
    for (const [key, value] of Object.entries(invite) as [keyof VaultDraft, string][]) {
      const problem = answerProblem(key, value);
      if (problem !== undefined) throw new InviteError(`"${key}" in it ${problem}`);
    }
    if (invite.access_token !== undefined)
      checkToken(invite, { text: invite.access_token, source: "the invite" });
    return { ...invite };
  } catch (error) {
    if (!(error instanceof InviteError)) throw error;
    throw new Failure("FV-CFG-011", "the invite cannot be used", {
      because: error.message,
      fix: "copy the whole line, or ask for it again",
    });
  }
}

/** A line pasted at a terminal is not shown: it has the token in it. */
async function readTyped(context: Context): Promise<string> {
  if (canAsk(context)) return new Prompt(context).hidden("invite");
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.stdin.read()) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > clientLimits.inviteBytesMax) throw tooLong();
  }
  return Buffer.concat(chunks).toString();
}

function readInviteFile(path: string): string {
  try {
    const stat = statSync(path);
    if (stat.isFile() && (stat.mode & 0o077) !== 0)
      throw new Failure("FV-CFG-007", `others can read or write the invite "${path}"`, {
        because: `its mode is 0${(stat.mode & 0o777).toString(8)}, it should be 0600: the token is in it`,
        fix: `chmod 600 ${shellWord(path)}`,
      });
    // A pipe or device has a size that says nothing.
    const bytes = readFileHead(path, clientLimits.inviteBytesMax);
    if (bytes.length > clientLimits.inviteBytesMax) throw tooLong();
    return new TextDecoder().decode(bytes);
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Failure("FV-CFG-011", `the invite "${path}" cannot be read`, { because: code });
  }
}

function tooLong(): Failure {
  return new Failure("FV-CFG-011", "the invite cannot be used", {
    because: `it has more than ${clientLimits.inviteBytesMax} bytes`,
  });
}
