import type { FileEntry } from "../../../protocol/file-message.ts";
import { isPattern, nameMatcher, sourceRoot } from "../../../system/copy/source-root.ts";

/** Whether one of the sources can have led to it: the machine must not choose what is written here. */
export function topNames(
  sources: readonly string[],
  recursive: boolean,
): (top: Pick<FileEntry, "name" | "kind">) => boolean {
  const names = sources.map((source) => sourceRoot(Buffer.from(source), recursive).name);
  const matchers = names
    .map((name) => name.toString("utf8"))
    .filter(isPattern)
    .map(nameMatcher);
  return ({ name, kind }) =>
    (recursive || kind === "file") &&
    (names.some((asked) => asked.equals(name)) ||
      matchers.some((matches) => matches(Buffer.from(name).toString("utf8"))));
}
