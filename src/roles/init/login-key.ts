import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { deriveLoginKey, TokenError, tokenStrength } from "../../fly/token.ts";
import { childEnv } from "../../system/child-env.ts";
import type { Log } from "../../system/log.ts";
import { closeOnExecute, execute, memoryFile, resetSignals } from "../../system/process.ts";
import { selfCommand } from "../../system/self.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The token arrives in the environment, where every child and /proc/self/environ would show it for
 * as long as this process lives; deleting it from `process.env` does not help. So the key is derived,
 * put into memory without a name, and the program starts again in the same process with a clean
 * environment. Does not return when there was a token.
 */
export function hideAccessToken(argv: readonly string[], env: Env, log: Log): void {
  const token = env["ACCESS_TOKEN"];
  if (token === undefined) return;
  const { ACCESS_TOKEN: _, ...clean } = env;
  const key = loginKeyOf(token, env["FLY_APP_NAME"] ?? "", log);
  closeOnExecute(3);
  resetSignals();
  const extra: Record<string, string> = {};
  if (key !== undefined) {
    const fd = memoryFile("login-key");
    writeSync(fd, key);
    extra[keyVariable] = String(fd);
  }
  execute(process.execPath, selfCommand("init", ...argv), childEnv(clean, extra));
}

/** What `hideAccessToken` left for us; the memory it lay in is emptied. Undefined: logins are refused. */
export function takeLoginKey(env: Env): Uint8Array | undefined {
  const fd = Number(env[keyVariable] ?? "-1");
  if (!Number.isInteger(fd) || fd < 3) return undefined;
  const key = new Uint8Array(keyBytes);
  const length = readSync(fd, key, 0, keyBytes, 0);
  ftruncateSync(fd, 0);
  closeSync(fd);
  return length === keyBytes ? key : undefined;
}

function loginKeyOf(token: string, app: string, log: Log): Uint8Array | undefined {
  if (tokenStrength(token) === "weak") {
    const advice = "make one with: fly-vault-admin token generate";
    log("warn", "access-token-weak", { advice });
  }
  try {
    return deriveLoginKey(token, app);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    log("error", "access-token-unusable", { message: error.message });
    return undefined;
  }
}

const keyVariable = "VAULT_LOGIN_KEY_FD";
const keyBytes = 32;
