import { readFile, rm, stat } from "node:fs/promises";
import { childOutcome } from "../child-outcome.ts";
import {
  parseReleaseKeys,
  signatureNamespace,
} from "../../src/roles/client/update/ssh-signature.ts";

/**
 * The public half of a private key file, as a line of an OpenSSH public key file without its comment.
 * Rejects where it is no ed25519 key, or others can read it.
 */
export async function publicKeyOf(keyFile: string): Promise<string> {
  if (((await stat(keyFile)).mode & 0o077) !== 0)
    throw new Error(`Others can read ${keyFile}: chmod 600 it`);
  const line = (await keygen(["-y", "-P", "", "-f", keyFile])).trim();
  const [type = "", blob = ""] = line.split(" ");
  if (parseReleaseKeys(line)?.length !== 1) throw new Error(`${keyFile} is no ed25519 key`);
  return `${type} ${blob}`;
}

/** Writes PATH.sig, by OpenSSH itself. */
export async function signFile(keyFile: string, path: string): Promise<void> {
  // It asks before it replaces one.
  await rm(`${path}.sig`, { force: true });
  await keygen(["-q", "-Y", "sign", "-f", keyFile, "-n", signatureNamespace, path]);
}

/**
 * The script with the keys (lines, maybe none) in it: it comes from the same place as the release, so this is for
 * those who keep it.
 */
export async function scriptWithKeys(path: string, keys: string): Promise<string> {
  const text = await readFile(path, "utf8");
  const empty = "key=${FLY_VAULT_RELEASE_KEY:-}\n";
  if (!text.includes(empty)) throw new Error(`${path} has no place for the key`);
  const lines = keys.split("\n").filter((line) => line.trim() !== "");
  return text.replace(
    empty,
    () => `key=\${FLY_VAULT_RELEASE_KEY:-${lines.map(bare).join("\n")}}\n`,
  );
}

/** A key's line without its comment: nothing in it may mean something to a shell. */
function bare(line: string): string {
  const [type = "", blob = ""] = line.trim().split(/\s+/);
  if (type !== "ssh-ed25519" || !/^[A-Za-z0-9+/]+=*$/.test(blob))
    throw new Error(`No public key: ${line}`);
  return `${type} ${blob}`;
}

async function keygen(words: readonly string[]): Promise<string> {
  const { out, err, code } = await childOutcome(["ssh-keygen", ...words]);
  if (code !== 0) throw new Error(`ssh-keygen: ${err.trim()}`);
  return out;
}
