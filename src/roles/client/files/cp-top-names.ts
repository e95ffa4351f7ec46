import type { FileEntry } from "../../../protocol/file-frame.ts";
import { sourceRoot } from "../../../system/copy/source-root.ts";

/** Whether one of the sources can have led to it: the machine must not choose what is written here. */
export function topNames(
  sources: readonly string[],
  recursive: boolean,
): (top: Pick<FileEntry, "name" | "kind">) => boolean {
  const names = sources.map((source) => sourceRoot(Buffer.from(source), recursive).name);
  const globs = names
    .map((name) => name.toString("utf8"))
    .filter((name) => /[*?[]/.test(name))
    .map((name) => new Bun.Glob(name));
  return ({ name, kind }) =>
    (recursive || kind === "file") &&
    (names.some((asked) => asked.equals(name)) ||
      globs.some((glob) => glob.match(Buffer.from(name).toString("utf8"))));
}
