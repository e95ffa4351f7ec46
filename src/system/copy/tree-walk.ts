import { type BigIntStats, lstatSync, readdirSync, readlinkSync, statSync } from "node:fs";
import type { FileEntry, FileKind } from "../../protocol/file-frame.ts";
import { copyLimits } from "./copy-limits.ts";
import { CopyTrouble, troubleOf } from "./copy-trouble.ts";
import { Exclusion } from "./exclusion.ts";
import { joinPath, pathText } from "./path-bytes.ts";
import { expandGlob, sourceRoot, type SourceRoot } from "./source-root.ts";

export type WalkStep =
  | {
      readonly kind: "entry";
      readonly entry: FileEntry;
      readonly path: Buffer;
      /** It was named, and is what its link leads to. */
      readonly follow: boolean;
    }
  | { readonly kind: "leave"; readonly id: number }
  | { readonly kind: "trouble"; readonly path: string; readonly trouble: CopyTrouble };

export interface WalkOptions {
  /** As they were said. */
  readonly sources: readonly Buffer[];
  /** Whether they may be patterns. */
  readonly glob: boolean;
  readonly recursive: boolean;
  readonly exclude: readonly string[];
}

interface OpenFolder {
  readonly id: number;
  readonly path: Buffer;
  readonly names: readonly string[];
  readonly children: Buffer[];
}

const none = new Uint8Array(0);

/** All of what was named, each folder before what is in it, in the order of names. */
export function* walkTree(options: WalkOptions): Generator<WalkStep, void, undefined> {
  const walk = new Walk(options);
  for (const source of options.sources) yield* walk.source(source);
}

class Walk {
  readonly #options: WalkOptions;
  readonly #exclusion: Exclusion;
  #lastId = 0;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.#exclusion = new Exclusion(options.exclude);
  }

  *source(said: Buffer): Generator<WalkStep, void, undefined> {
    let paths: Buffer[];
    try {
      paths = this.#options.glob ? expandGlob(said) : [said];
    } catch (error) {
      yield { kind: "trouble", path: pathText(said), trouble: troubleOf(error, pathText(said)) };
      return;
    }
    for (const path of paths) yield* this.#root(sourceRoot(path, this.#options.recursive));
  }

  *#root({ path, name, follow }: SourceRoot): Generator<WalkStep, void, undefined> {
    const [top, trouble] = this.#top(path, follow);
    if (top === undefined) {
      yield { kind: "trouble", path: pathText(path), trouble };
      return;
    }
    const stack: OpenFolder[] = [];
    yield* this.#visit({ path, name, follow, parent: 0, names: [] }, top, stack);
    for (let folder = stack.at(-1); folder !== undefined; folder = stack.at(-1)) {
      const child = folder.children.pop();
      if (child === undefined) {
        stack.pop();
        yield { kind: "leave", id: folder.id };
        continue;
      }
      const { id: parent, names } = folder;
      const place = {
        path: joinPath(folder.path, child),
        name: child,
        follow: false,
        parent,
        names: [...names, pathText(child)],
      };
      const [stats, broken] = look(place.path, false);
      if (stats === undefined)
        yield { kind: "trouble", path: pathText(place.path), trouble: broken };
      else if (!this.#exclusion.excludes(place.names, stats.isDirectory()))
        yield* this.#visit(place, stats, stack);
    }
  }

  #top(path: Buffer, follow: boolean): Look {
    const [stats, trouble] = look(path, follow);
    if (stats === undefined) return [undefined, trouble];
    if (stats.isDirectory() && !this.#options.recursive)
      return [
        undefined,
        new CopyTrouble("is-folder", `${pathText(path)}: is a folder (-r copies folders)`),
      ];
    return [stats, undefined];
  }

  /** Its entry; a folder is opened for what is in it. */
  *#visit(
    { path, name, follow, parent, names }: Place,
    stats: BigIntStats,
    stack: OpenFolder[],
  ): Generator<WalkStep, void, undefined> {
    try {
      const kind = kindOf(stats, path);
      if (stack.length >= copyLimits.foldersOpenMax)
        throw new CopyTrouble("refused", `${pathText(path)}: too many folders in folders`);
      const target = kind === "link" ? readlinkSync(path, { encoding: "buffer" }) : none;
      const children = kind === "folder" ? childrenOf(path) : [];
      const id = (this.#lastId += 1);
      const entry = { id, parent, kind, name, target, digest: undefined, ...factsOf(stats, kind) };
      yield { kind: "entry", entry, path, follow };
      if (kind === "folder") stack.push({ id, path, names, children });
    } catch (error) {
      yield { kind: "trouble", path: pathText(path), trouble: troubleOf(error, pathText(path)) };
    }
  }
}

interface Place {
  readonly path: Buffer;
  readonly name: Buffer;
  readonly follow: boolean;
  readonly parent: number;
  readonly names: readonly string[];
}

type Look = readonly [BigIntStats, undefined] | readonly [undefined, CopyTrouble];

function look(path: Buffer, follow: boolean): Look {
  try {
    const bigint = true;
    return [follow ? statSync(path, { bigint }) : lstatSync(path, { bigint }), undefined];
  } catch (error) {
    return [undefined, troubleOf(error, pathText(path))];
  }
}

function kindOf(stats: BigIntStats, path: Buffer): FileKind {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "folder";
  if (stats.isSymbolicLink()) return "link";
  throw new CopyTrouble("special", `${pathText(path)}: not a file, folder or link`);
}

/** Last name first. */
function childrenOf(path: Buffer): Buffer[] {
  const children = readdirSync(path, { encoding: "buffer" });
  if (children.length > copyLimits.folderEntriesMax)
    throw new CopyTrouble(
      "too-many",
      `${pathText(path)}: more than ${copyLimits.folderEntriesMax} names`,
    );
  return children.toSorted((a, b) => Buffer.compare(b, a));
}

function factsOf(
  stats: BigIntStats,
  kind: FileKind,
): Pick<FileEntry, "mode" | "seconds" | "nanoseconds" | "size"> {
  const nanoseconds = Number(((stats.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return {
    mode: Number(stats.mode) & 0o7777,
    seconds: Number((stats.mtimeNs - BigInt(nanoseconds)) / 1_000_000_000n),
    nanoseconds,
    size: kind === "file" ? Number(stats.size) : 0,
  };
}
