import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import * as v from "valibot";
import { Failure } from "../../../cli/failure.ts";
import {
  formatProxyMaster,
  openMaster,
  parseProxyMasters,
  type ProxyMaster,
  ProxyMasterError,
} from "../../../quic/proxy-master.ts";
import { childEnv } from "../../../system/child-env.ts";
import { PrivateFileError, readPrivateFile } from "../../../system/private-file.ts";
import { closeOnExecute, execute, memoryFile, resetSignals } from "../../../system/process.ts";
import { selfCommand } from "../../../system/self.ts";
import { brokerLimits } from "./broker-limits.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Token and key arrive in the environment, where /proc/self/environ would show them for as long as this
 * process lives; deleting them from `process.env` does not help. So they are put into memory without a
 * name, and the program starts again in the same process with a clean environment. Does not return
 * when there was one of them.
 */
export function hideSecrets(argv: readonly string[], env: Env): void {
  const { [tokenVariable]: token, [keyVariable]: key, ...clean } = env;
  if (token === undefined && key === undefined) return;
  const bytes = Buffer.from(JSON.stringify({ token, key }));
  if (bytes.byteLength > brokerLimits.secretsBytesMax)
    throw new Failure("FV-CLI-001", `${tokenVariable} or ${keyVariable} is too long`, {
      because: `together at most ${brokerLimits.secretsBytesMax} bytes are taken`,
    });
  closeOnExecute(3);
  resetSignals();
  // Opened last, so that it stays open.
  const fd = memoryFile("proxy-secrets");
  writeSync(fd, bytes);
  execute(
    process.execPath,
    selfCommand("proxy", ...argv),
    childEnv(clean, { [leftVariable]: String(fd) }),
  );
}

export interface ProxySecrets {
  readonly token: string;
  /** As the relay takes it; undefined only with `open`. */
  readonly masters: string | undefined;
}

/** What `hideSecrets` left for us, and the key's file. Rejects with `Failure`. */
export async function takeSecrets(
  env: Env,
  options: { readonly keyFile: string | undefined; readonly open: boolean },
): Promise<ProxySecrets> {
  const { token = "", key = "" } = readLeft(env);
  const fromFile = options.keyFile === undefined ? "" : await readKeyFile(options.keyFile);
  if (fromFile.trim() !== "" && key.trim() !== "")
    throw new Failure("FV-PRX-001", "there are two keys", {
      because: `one is in ${keyVariable}, another in --key-file`,
      fix: "give one of them; two keys that are in use at the same time go into one, with a comma",
    });
  const masters = checkKey(fromFile.trim() === "" ? key : fromFile, options.open);
  if (token.trim() !== "") return { token: token.trim(), masters };
  throw new Failure("FV-API-002", "no Fly API token", {
    fix: `set ${tokenVariable}, for example to the output of: fly tokens create deploy`,
  });
}

function readLeft(env: Env): v.InferOutput<typeof leftSchema> {
  const fd = Number(env[leftVariable] ?? "-1");
  if (!Number.isInteger(fd) || fd < 3) return {};
  const bytes = new Uint8Array(brokerLimits.secretsBytesMax);
  const length = readSync(fd, bytes, 0, bytes.byteLength, 0);
  ftruncateSync(fd, 0);
  closeSync(fd);
  return v.parse(leftSchema, JSON.parse(new TextDecoder().decode(bytes.subarray(0, length))));
}

const leftSchema = v.object({ token: v.optional(v.string()), key: v.optional(v.string()) });

async function readKeyFile(path: string): Promise<string> {
  try {
    const bytes = await readPrivateFile(path, brokerLimits.keyFileBytesMax);
    if (bytes !== undefined) return new TextDecoder().decode(bytes);
  } catch (error) {
    if (!(error instanceof PrivateFileError) && !(error instanceof Error && "code" in error))
      throw error;
    throw new Failure("FV-PRX-001", `the key file "${path}" cannot be used`, {
      because: error.message,
      fix: `name a plain file that its owner alone can write:  chmod go-w ${path}`,
    });
  }
  throw new Failure("FV-PRX-001", `there is no key file "${path}"`, {
    fix: "fly-vault-admin proxy-key new --key-file FILE  makes one",
  });
}

function checkKey(text: string, open: boolean): string | undefined {
  if (text.trim() === "") {
    if (open) return undefined;
    throw new Failure("FV-PRX-001", "the proxy has no key", {
      because: "without one it could not tell the clients of your machines from strangers",
      fix: `fly-vault-admin proxy-key new --key-file FILE  makes one; its content goes into ${keyVariable}, or its name into --key-file`,
    });
  }
  const masters = parseMasters(text);
  // Anybody can make a tag from a key that everybody knows; --open says so.
  if (masters.some(({ master }) => master.every((byte) => byte === 0)))
    throw new Failure("FV-PRX-001", "the key is nothing but zeros", {
      fix: "fly-vault-admin proxy-key new --key-file FILE  makes one",
    });
  if (open && masters.some(({ epoch }) => epoch === openMaster.epoch))
    throw new Failure("FV-PRX-001", `with --open no key can be of epoch ${openMaster.epoch}`, {
      because: "those without a key use that epoch",
      fix: "leave out --open, or go on to the next key:  fly-vault-admin proxy-key rotate --key-file FILE",
    });
  return masters.map(formatProxyMaster).join(",");
}

function parseMasters(text: string): readonly ProxyMaster[] {
  try {
    return parseProxyMasters(text);
  } catch (error) {
    if (!(error instanceof ProxyMasterError)) throw error;
    throw new Failure("FV-PRX-001", "the key cannot be read", {
      because: error.message,
      fix: "compare it with the key file; is that whole?  fly-vault-admin proxy-key show --key-file FILE",
    });
  }
}

const tokenVariable = "FLY_API_TOKEN";
const keyVariable = "FLY_VAULT_PROXY_KEY";
const leftVariable = "VAULT_PROXY_SECRETS_FD";
