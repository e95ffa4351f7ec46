import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { deriveLoginKey, TokenError, tokenStrength } from "../../fly/token.ts";
import {
  type AdmissionKey,
  AdmissionKeyError,
  parseAdmissionKeys,
} from "../../quic/admission-key.ts";
import { childEnv, keptHeap } from "../../system/child-env.ts";
import type { Log } from "../../system/log.ts";
import { closeOnExecute, execute, memoryFile, resetSignals } from "../../system/process.ts";
import { selfCommand } from "../../system/self.ts";

type Env = Readonly<Record<string, string | undefined>>;

export interface Secrets {
  /** Undefined: logins are refused. */
  readonly login: Uint8Array | undefined;
  /** Undefined: no tag is asked for. Empty: none is right, since the key that was given is of no use. */
  readonly admission: readonly AdmissionKey[] | undefined;
}

/**
 * Token and admission key arrive in the environment, where every child and /proc/self/environ would
 * show them for as long as this process lives; deleting them from `process.env` does not help. So
 * what they are needed for is put into memory without a name, and the program starts again in the
 * same process with a clean environment. Does not return when there was one of them.
 */
export function hideSecrets(argv: readonly string[], env: Env, log: Log): void {
  const { ACCESS_TOKEN: token, VAULT_ADMISSION_KEY: admission, ...clean } = env;
  if (token === undefined && admission === undefined) return;
  const key = token === undefined ? undefined : loginKeyOf(token, env["FLY_APP_NAME"] ?? "", log);
  const usable = admission !== undefined && isAdmissionKey(admission, env["FLY_MACHINE_ID"], log);
  closeOnExecute(3);
  resetSignals();
  const extra: Record<string, string> = { ...keptHeap };
  if (key !== undefined) extra[loginVariable] = leave("login-key", key);
  if (admission !== undefined)
    extra[admissionVariable] = leave("admission-key", Buffer.from(usable ? admission : ""));
  execute(process.execPath, selfCommand("init", ...argv), childEnv(clean, extra));
}

/** What `hideSecrets` left for us; the memory it lay in is emptied. */
export function takeSecrets(env: Env): Secrets {
  const login = take(env[loginVariable], keyBytes);
  const admission = take(env[admissionVariable], admissionBytesMax);
  return {
    login: login?.length === keyBytes ? login : undefined,
    admission: admission && (admission.length === 0 ? [] : parseAdmissionKeys(textOf(admission))),
  };
}

function leave(name: string, bytes: Uint8Array): string {
  const fd = memoryFile(name);
  writeSync(fd, bytes);
  return String(fd);
}

function take(left: string | undefined, bytesMax: number): Uint8Array | undefined {
  const fd = Number(left ?? "-1");
  if (!Number.isInteger(fd) || fd < 3) return undefined;
  const bytes = new Uint8Array(bytesMax);
  const length = readSync(fd, bytes, 0, bytesMax, 0);
  ftruncateSync(fd, 0);
  closeSync(fd);
  return bytes.subarray(0, length);
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

function isAdmissionKey(text: string, machineId: string | undefined, log: Log): boolean {
  try {
    const [key] = parseAdmissionKeys(text);
    if (text.length > admissionBytesMax) throw new AdmissionKeyError("it is too long");
    if (key.machineId !== machineId)
      throw new AdmissionKeyError(`it is of machine ${key.machineId}, and this is ${machineId}`);
    return true;
  } catch (error) {
    if (!(error instanceof AdmissionKeyError)) throw error;
    const message = `VAULT_ADMISSION_KEY: ${error.message}`;
    log("error", "nobody-admitted", { message });
    return false;
  }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const loginVariable = "VAULT_LOGIN_KEY_FD";
const admissionVariable = "VAULT_ADMISSION_KEY_FD";
const keyBytes = 32;
const admissionBytesMax = 256;
