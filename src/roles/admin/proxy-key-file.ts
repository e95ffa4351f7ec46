import { stat } from "node:fs/promises";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import {
  formatProxyMaster,
  openMaster,
  parseProxyMasters,
  type ProxyMaster,
  ProxyMasterError,
} from "../../quic/proxy-master.ts";
import {
  createPrivateFile,
  PrivateFileError,
  readPrivateFile,
  writePrivateFile,
} from "../../system/private-file.ts";
import { readSecretStdin, secretBytesMax } from "./connection.ts";

/** The masters of the proxies, one a line, the newest first: one, or two while they change. */
export type ProxyMasters = readonly [ProxyMaster, ...ProxyMaster[]];

/** Of commands that only read it. */
export const keyFileFlag = {
  value: "FILE",
  env: "FLY_VAULT_PROXY_KEY_FILE",
  summary: 'the proxies\' key file ("-": standard input)',
} as const;

/** Of commands that change it. */
export const ownKeyFileFlag = {
  ...keyFileFlag,
  summary: "the proxies' key file",
} as const;

/** The file that `--key-file` names. */
export async function readProxyMasters(
  path: string | undefined,
  context: Context,
): Promise<ProxyMasters> {
  const text =
    path === "-" ? await readSecretStdin(context) : await readKeyFile(namedKeyFile(path));
  try {
    return parseProxyMasters(text);
  } catch (error) {
    if (!(error instanceof ProxyMasterError)) throw error;
    throw new Failure("FV-CLI-001", `"${path}" is no key file of proxies`, {
      because: error.message,
      fix: "fly-vault-admin proxy-key new --key-file FILE  makes one",
    });
  }
}

/** False where there is a file already, which then stays as it is. */
export async function createKeyFile(path: string, masters: ProxyMasters): Promise<boolean> {
  return withFailures(path, async () => createPrivateFile(path, encode(masters)));
}

/** Whole or not at all, and for the owner alone. */
export async function replaceKeyFile(path: string, masters: ProxyMasters): Promise<void> {
  await withFailures(path, async () => writePrivateFile(path, encode(masters)));
}

/** A file that is changed must have a name. */
export function namedKeyFile(path: string | undefined): string {
  if (path === undefined) throw new UsageError("--key-file is missing");
  if (path === "-") throw new UsageError("--key-file must be a file here, not standard input");
  return path;
}

/** A master that was never used, of an epoch that is none of `live`. The last epoch is that of `--open`. */
export function newMaster(live: readonly ProxyMaster[], context: Context): ProxyMaster {
  const [current] = live;
  const taken = new Set([openMaster.epoch, ...live.map(({ epoch }) => epoch)]);
  let epoch = current === undefined ? 0 : (current.epoch + 1) % epochs;
  while (taken.has(epoch)) epoch = (epoch + 1) % epochs;
  return { epoch, master: context.randomBytes(masterBytes) };
}

async function readKeyFile(path: string): Promise<string> {
  return withFailures(path, async () => {
    const bytes = await readPrivateFile(path, secretBytesMax);
    if (bytes === undefined) throw new PrivateFileError("there is no such file");
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0)
      throw new Failure("FV-CFG-007", `others can read the key file "${path}"`, {
        because: `its mode is 0${(mode & 0o777).toString(8)}`,
        fix: `chmod 600 ${path}; if others may have read it, rotate the key`,
      });
    return new TextDecoder().decode(bytes);
  });
}

async function withFailures<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure || !(error instanceof Error)) throw error;
    const fix = "fly-vault-admin proxy-key new --key-file FILE  makes one";
    throw new Failure("FV-CLI-001", `the key file "${path}" cannot be used`, {
      because: error.message,
      ...(error instanceof PrivateFileError ? { fix } : {}),
    });
  }
}

function encode(masters: ProxyMasters): Uint8Array {
  return new TextEncoder().encode(`${masters.map(formatProxyMaster).join("\n")}\n`);
}

const epochs = 8;
const masterBytes = 32;
