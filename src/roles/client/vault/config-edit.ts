import { constants, realpathSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { configPath } from "../../../cli/paths.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import type { TomlEdit } from "../../../cli/toml-edit.ts";
import { tryLock } from "../../../system/file-lock.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { writePrivateFile } from "../../../system/private-file.ts";
import { readConfig } from "./config-file.ts";
import { clientLimits } from "../limits.ts";
import { checkPrivateFolder } from "./private-folder.ts";

/**
 * Changes the configuration: all of `edits` or none, comments and order as they were, one run at a
 * time. A link in the file's place stays one. Returns the path.
 */
export async function editConfig(
  context: Pick<Context, "env" | "monotonicMs">,
  edits: (source: string) => readonly TomlEdit[],
): Promise<string> {
  const shown = configPath(context.env);
  await mkdir(dirname(shown), { recursive: true, mode: 0o700 });
  const path = realPath(shown);
  checkPrivateFolder(dirname(path));
  const unlock = await lock(join(dirname(path), ".fly-vault.lock"), context);
  try {
    const before = sourceOf(path);
    let text = before;
    for (const edit of edits(before)) {
      const edited = edit(text);
      if (edited === undefined) throw notEditable(shown);
      text = edited;
    }
    if (text !== before) await writePrivateFile(path, new TextEncoder().encode(text));
    return shown;
  } finally {
    await unlock();
  }
}

/** Behind all links; a file that is not there yet is where the path says. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return path;
    throw new Failure("FV-CFG-002", `"${path}" cannot be read`, { because: String(error) });
  }
}

function sourceOf(path: string): string {
  try {
    return readConfig(path).source;
  } catch (error) {
    if (error instanceof Failure && error.code === "FV-CFG-001") return "";
    throw error;
  }
}

async function lock(
  path: string,
  { monotonicMs }: Pick<Context, "monotonicMs">,
): Promise<() => Promise<void>> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o600);
  const untilMs = monotonicMs() + clientLimits.configLockMs;
  while (!tryLock(handle.fd)) {
    if (monotonicMs() > untilMs) {
      await handle.close();
      throw new Failure("FV-CFG-012", "another fly-vault is changing the configuration", {
        because: `it holds ${path} for more than ${clientLimits.configLockMs / 1000} s`,
        fix: "wait until it is done, then try again",
      });
    }
    await Bun.sleep(lockPollMs);
  }
  return async () => handle.close();
}

function notEditable(path: string): Failure {
  return new Failure("FV-CFG-012", `"${path}" cannot be changed by a program`, {
    because: "the place is written in a way that cannot be changed without touching the rest",
    fix: `change it in an editor:  \${EDITOR:-vi} ${shellWord(path)}`,
  });
}

const lockPollMs = 50;
