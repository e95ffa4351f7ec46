import { statSync } from "node:fs";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { expandPath } from "../../../cli/paths.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { tokenStrength } from "../../../fly/token.ts";
import { childEnv } from "../../../system/child-env.ts";
import { readFileHead } from "../../../system/file-head.ts";
import { type Keychain, KeychainError, systemKeychain } from "../../../system/keychain.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { keychainAccount } from "./keychain-account.ts";
import type { VaultConfig } from "./vault-config.ts";

export interface AccessToken {
  readonly token: string;
  readonly warnings: readonly string[];
}

/** The first source wins: flag, environment, the vault's `token`, and last `access_token` as it stands. */
export async function readAccessToken(
  vault: VaultConfig,
  context: Context,
  tokenFile: string | undefined,
  keychain: Keychain = systemKeychain,
): Promise<AccessToken> {
  const found = await findToken(vault, context, { tokenFile, keychain });
  return checkToken(vault, found);
}

/** From `--token-file` alone. */
export async function readTokenFile(
  vault: Pick<VaultConfig, "name">,
  path: string,
  context: Context,
): Promise<AccessToken> {
  const found =
    path === "-"
      ? { text: await readStdin(context), source: "standard input" }
      : readFile(vault, path);
  return checkToken(vault, found);
}

/** What somebody gave for a token; throws `Failure` where it cannot be one. */
export function checkToken(
  vault: Pick<VaultConfig, "name">,
  { text, source }: { readonly text: string; readonly source: string },
): AccessToken {
  const token = text.replace(/\r?\n$/, "");
  if (/\p{Cc}/u.test(token))
    throw unusable(vault, `the token from ${source} has more than one line, or control characters`);
  switch (tokenStrength(token)) {
    case "empty":
      throw unusable(vault, `the token from ${source} is empty`);
    case "mistyped":
      throw unusable(vault, `the token from ${source} is mistyped or cut short`);
    case "weak":
      return {
        token,
        warnings: [
          `the token from ${source} is not one that fly-vault-admin made; make sure it is long and random`,
        ],
      };
    case "strong":
      return { token, warnings: [] };
  }
}

interface Found {
  readonly text: string;
  readonly source: string;
}

async function findToken(
  vault: VaultConfig,
  context: Context,
  { tokenFile, keychain }: { readonly tokenFile: string | undefined; readonly keychain: Keychain },
): Promise<Found> {
  const { env } = context;
  if (tokenFile === "-") return { text: await readStdin(context), source: "standard input" };
  if (tokenFile !== undefined) return readFile(vault, tokenFile);
  const fileNamed = env["FLY_VAULT_TOKEN_FILE"];
  if (fileNamed !== undefined && fileNamed !== "") return readFile(vault, fileNamed);
  const told = takeVariable(env, "FLY_VAULT_TOKEN");
  if (told !== undefined && told !== "") return { text: told, source: "FLY_VAULT_TOKEN" };
  if (vault.token !== undefined && "file" in vault.token)
    return readFile(vault, expandPath(vault.token.file, env, vault.folder));
  if (vault.token !== undefined && "keychain" in vault.token) return readKeychain(vault, keychain);
  if (vault.token !== undefined) return runCommand(vault, vault.token.command, env);
  if (vault.access_token !== undefined) return { text: vault.access_token, source: vault.path };
  throw new Failure("FV-CFG-008", `there is no access token for "${vault.name}"`, {
    because: "no --token-file, FLY_VAULT_TOKEN_FILE, FLY_VAULT_TOKEN, token or access_token",
    fix: `fly-vault token set ${vault.name}  puts it away safely`,
  });
}

async function readKeychain(vault: VaultConfig, keychain: Keychain): Promise<Found> {
  let text: string | undefined;
  let because = "it holds none for this vault";
  try {
    text = await keychain.get(keychainAccount(vault.name, vault.path));
  } catch (error) {
    if (!(error instanceof KeychainError)) throw error;
    because = error.message;
  }
  if (text !== undefined) return { text, source: "the keychain" };
  throw new Failure(
    "FV-CFG-008",
    `the token of "${vault.name}" is not to be had from the keychain`,
    {
      because,
      fix: `fly-vault token set ${vault.name}  puts it there, or into a file`,
    },
  );
}

/** Read once and taken away, so that no child ever sees it. */
function takeVariable(env: Context["env"], name: string): string | undefined {
  const value = env[name];
  if (value !== undefined) Reflect.deleteProperty(env, name);
  return value;
}

function readFile(vault: Pick<VaultConfig, "name">, path: string): Found {
  try {
    const stat = statSync(path);
    // A pipe (`<(pass show …)`) has a mode that says nothing.
    if (stat.isFile() && (stat.mode & 0o077) !== 0)
      throw new Failure("FV-CFG-007", `others can read or write the token file "${path}"`, {
        because: `its mode is 0${(stat.mode & 0o777).toString(8)}, it should be 0600`,
        fix: `chmod 600 ${shellWord(path)}`,
      });
    const bytes = readFileHead(path, clientLimits.tokenBytesMax);
    if (bytes.length > clientLimits.tokenBytesMax)
      throw unusable(
        vault,
        `the token file "${path}" has more than ${clientLimits.tokenBytesMax} bytes`,
      );
    return { text: new TextDecoder().decode(bytes), source: path };
  } catch (error) {
    if (error instanceof Failure) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    const what = code === "ENOENT" ? "is not there" : `cannot be read: ${code}`;
    throw unusable(vault, `the token file "${path}" ${what}`);
  }
}

async function readStdin(context: Context): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.stdin.read()) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > clientLimits.tokenBytesMax) break;
  }
  return Buffer.concat(chunks).toString().slice(0, clientLimits.tokenBytesMax);
}

async function runCommand(
  vault: VaultConfig,
  command: readonly string[],
  env: Context["env"],
): Promise<Found> {
  const [program = ""] = command;
  const source = `"${program}"`;
  let child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  try {
    child = Bun.spawn([...command], {
      env: childEnv(env),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      timeout: clientLimits.tokenCommandMs,
      killSignal: "SIGKILL",
    });
  } catch {
    throw unusable(vault, `the token command ${source} cannot be started`);
  }
  const text = await outputOf(child);
  if (text === undefined) {
    child.kill("SIGKILL");
    throw unusable(vault, `the token command ${source} prints more than a token`);
  }
  const exitCode = await child.exited;
  const end = child.signalCode ?? exitCode;
  if (end === "SIGKILL")
    throw unusable(
      vault,
      `the token command ${source} did not end in ${clientLimits.tokenCommandMs / 1000} s`,
    );
  if (end !== 0) throw unusable(vault, `the token command ${source} ended with ${end}`);
  return { text, source };
}

/**
 * What it printed until it ended: an agent that it left running may keep the pipe open for days.
 * Undefined where that is more than a token.
 */
async function outputOf({
  stdout,
  exited,
}: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = stdout.getReader();
  const reading = (async () => {
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined || length > clientLimits.tokenBytesMax) return;
      chunks.push(value);
      length += value.length;
    }
  })();
  await Promise.race([reading, exited.then(async () => within(reading, clientLimits.tokenLastMs))]);
  // Nobody reads on: an agent that prints later is told by the system.
  reader.cancel().catch(() => undefined);
  return length > clientLimits.tokenBytesMax ? undefined : Buffer.concat(chunks).toString();
}

function unusable(vault: Pick<VaultConfig, "name">, message: string): Failure {
  return new Failure("FV-CFG-008", message, {
    fix: `put the token that the machine of "${vault.name}" was created with there`,
  });
}
