import { lstatSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { configPath } from "../../../cli/paths.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { writePrivateFile } from "../../../system/private-file.ts";
import { clientLimits } from "../limits.ts";

/** A file of ssh's, read as Latin-1 so that every byte of it comes back. */
export interface SshFile {
  readonly path: string;
  /** Undefined where there is none. */
  readonly text: string | undefined;
  readonly mode: number;
  readonly uid: number | undefined;
}

/** The user's own configuration of ssh; behind a link, where it leads. */
export function userSshConfig({ env }: Pick<Context, "env">): SshFile {
  const given = env["HOME"];
  const home = given === undefined || given === "" ? homedir() : given;
  return readSshFile(join(home, ".ssh", "config"));
}

/** Ours, beside the configuration of vaults. */
export function managedSshConfig({ env }: Pick<Context, "env">): SshFile {
  return readSshFile(join(dirname(configPath(env)), "ssh_config"));
}

function readSshFile(shown: string): SshFile {
  try {
    const path = realpathSync(shown);
    const { size, mode, uid } = statSync(path);
    if (size > clientLimits.configBytesMax) throw unusable(shown, `it has ${size} bytes`);
    return { path, text: readFileSync(path, "latin1"), mode: mode & 0o777, uid };
  } catch (error) {
    if (hasCode(error, "ENOENT") && lstatSync(shown, { throwIfNoEntry: false }) === undefined)
      return { path: shown, text: undefined, mode: 0o600, uid: process.geteuid?.() };
    if (error instanceof Failure) throw error;
    throw unusable(shown, error instanceof Error ? error.message : String(error));
  }
}

/** Whole or not at all; with no text it is taken away. What somebody has written meanwhile is not lost. */
export async function writeSshFile(file: SshFile, text: string | undefined): Promise<void> {
  if (readSshFile(file.path).text !== file.text)
    throw new Failure("FV-CFG-013", `"${file.path}" was changed meanwhile`, {
      because: "it is not what it was when this command read it",
      fix: "run it again",
    });
  // Written by us it would be ours, and its owner's ssh would not read it any more.
  if (file.uid !== process.geteuid?.())
    throw unusable(file.path, `it belongs to user ${file.uid}, not to you`);
  try {
    if (text === undefined) {
      rmSync(file.path, { force: true });
      return;
    }
    await mkdir(dirname(file.path), { recursive: true, mode: 0o700 });
    await writePrivateFile(file.path, Buffer.from(text, "latin1"), file.mode);
  } catch (error) {
    throw unusable(file.path, error instanceof Error ? error.message : String(error));
  }
}

function unusable(path: string, because: string): Failure {
  return new Failure("FV-CFG-013", `"${path}" cannot be read or changed`, {
    because,
    fix: "fly-vault ssh-config show  prints what it would hold; put it there yourself",
  });
}
