import { statSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { stateDirectory } from "../../../cli/paths.ts";
import { version } from "../../../cli/program.ts";
import {
  createPrivateFile,
  PrivateFileError,
  readPrivateFile,
} from "../../../system/private-file.ts";
import { programOnDisk } from "../../../system/self.ts";
import type { TransportWish } from "../dial/transport.ts";
import type { VaultConfig } from "../vault/vault-config.ts";

export interface LinkIdentity {
  readonly config: VaultConfig;
  readonly transport: TransportWish | undefined;
  /** The token, or where it comes from. */
  readonly token: string;
}

/**
 * The name of a link: one more for everything that decides whom the vault trusts, how it is reached, and
 * which program holds it, so that a link is never used by a command that would have made another one.
 * Keyed, because the token is in it and the name is written into a folder.
 */
export function linkName(
  { config, transport, token }: LinkIdentity,
  secret: Uint8Array,
  env: Context["env"],
): string {
  const facts = {
    trusted: trustedKeys(config),
    path: config.path,
    state: stateDirectory(env),
    transport: transport ?? null,
    token,
    program: programFacts(),
  };
  return digest(JSON.stringify(facts), secret);
}

/** Of the file's words alone: when it changes, the link that was made by them ends. */
export function configDigest(config: VaultConfig, secret: Uint8Array): string {
  return digest(JSON.stringify(trustedKeys(config)), secret);
}

/** Random bytes of this user, made the first time. */
export async function linkSecret({
  env,
  randomBytes,
}: Pick<Context, "env" | "randomBytes">): Promise<Uint8Array> {
  const path = join(stateDirectory(env), "link-secret");
  const before = await readPrivateFile(path, secretBytes);
  if (before === undefined) await createPrivateFile(path, randomBytes(secretBytes));
  const secret = before ?? (await readPrivateFile(path, secretBytes));
  if (secret?.length !== secretBytes) throw new PrivateFileError(`${path} is damaged`);
  return secret;
}

/**
 * What stands for the token in a link's name: the token itself, but where a program has to be asked for
 * it, that program. Undefined: it has to be read.
 */
export function slowTokenSource(
  config: VaultConfig,
  tokenFile: string | undefined,
  env: Context["env"],
): string | undefined {
  const isGiven = [tokenFile, env["FLY_VAULT_TOKEN_FILE"], env["FLY_VAULT_TOKEN"]].some(
    (source) => source !== undefined && source !== "",
  );
  if (isGiven || config.token === undefined || "file" in config.token) return undefined;
  return JSON.stringify(config.token);
}

/** All but what is about the commands themselves; a key that comes later counts until it is listed here. */
function trustedKeys(config: VaultConfig): readonly (readonly [string, unknown])[] {
  return Object.entries(config)
    .filter(([key]) => !harmless.has(key))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const harmless: ReadonlySet<string> = new Set([
  "forward",
  "reverse_forward",
  "dynamic_forward",
  "auto_forward",
  "auto_forward_ports",
  "env",
  "terminfo",
  "rootfs",
  "rootfs_url",
  "rootfs_sha256",
]);

function programFacts(): readonly unknown[] {
  const [executable = ""] = programOnDisk;
  const stat = statSync(executable, { throwIfNoEntry: false });
  return [version, programOnDisk, stat?.ino, stat?.size, stat?.mtimeMs];
}

function digest(text: string, secret: Uint8Array): string {
  return new Bun.CryptoHasher("sha256", secret).update(text).digest("hex").slice(0, 32);
}

const secretBytes = 32;
