import { constants } from "node:fs";
import { access, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../../../cli/failure.ts";
import { shellWord } from "../../../cli/shell-word.ts";
import { isCompiled, programOnDisk } from "../../../system/self.ts";

/** The file that this program is, behind all symbolic links. Rejects with `Failure` where it is not ours to replace. */
export async function ownPlace(): Promise<string> {
  const [executable = ""] = programOnDisk;
  if (!isCompiled)
    throw cannot("this program runs from its source", "update the source instead:  git pull");
  if (process.platform === "win32")
    throw cannot(
      "Windows lets nobody replace a program that runs",
      "put the new file there by hand",
    );
  return replaceable(executable);
}

/** The real path of a program that we may put another one in place of. Rejects with `Failure`. */
export async function replaceable(program: string): Promise<string> {
  const path = await realpath(program).catch(() => undefined);
  if (path === undefined)
    throw cannot(
      `"${program}" is not there any more`,
      "start the program again, or install it anew",
    );
  if (path.includes("/Cellar/"))
    throw cannot(`"${path}" belongs to Homebrew`, "brew upgrade fly-vault");
  const folder = dirname(path);
  // Not the file: it is not written to, its name is given to another one.
  const isOurs = await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!isOurs)
    throw cannot(
      `this user may not write in "${folder}"`,
      `sudo ${shellWord(path)} self-update, or install it into a folder of yours (install.sh --prefix ~/.local)`,
    );
  return path;
}

function cannot(because: string, fix: string): Failure {
  return new Failure("FV-UPD-006", "this program cannot be replaced by itself", { because, fix });
}
