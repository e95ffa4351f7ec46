import type { FileEntry, FileKind } from "../../protocol/file-message.ts";
import type { FileLook } from "../file-look.ts";
import { copyLimits } from "./copy-limits.ts";
import { CopyTrouble, troubleOf } from "./copy-trouble.ts";
import { Exclusion } from "./exclusion.ts";
import { joinPath, pathText } from "./path-bytes.ts";
import { NamedSource, openTree } from "./named-source.ts";
import { expandGlob, sourceRoot, type SourceRoot } from "./source-root.ts";
import type { SourceTree } from "./source-tree.ts";

export type WalkStep =
  | {
      readonly kind: "entry";
      readonly entry: FileEntry;
      readonly path: Buffer;
      /** By which it is read. */
      readonly tree: SourceTree;
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
  readonly tree: SourceTree;
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
  readonly #named = new Set<string>();
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
    for (const path of paths.filter((one) => this.#isNew(one)))
      yield* this.#root(sourceRoot(path, this.#options.recursive));
  }

  /** What is named twice, or by two patterns, is copied once. */
  #isNew(path: Buffer): boolean {
    const key = path.toString("latin1");
    if (this.#named.has(key)) return false;
    if (this.#named.size < copyLimits.topsRememberedMax) this.#named.add(key);
    return true;
  }

  *#root({ path, name, follow }: SourceRoot): Generator<WalkStep, void, undefined> {
    const named = new NamedSource({ follow });
    const [top, trouble] = this.#top(path, named);
    if (top === undefined) {
      yield { kind: "trouble", path: pathText(path), trouble };
      return;
    }
    const place = { path, name, parent: 0, names: [] };
    if (top.kind !== "folder") {
      yield* this.#visit({ ...place, tree: named }, top, []);
      return;
    }
    let tree: SourceTree;
    try {
      tree = openTree(path, follow);
    } catch (error) {
      yield { kind: "trouble", path: pathText(path), trouble: troubleOf(error, pathText(path)) };
      return;
    }
    try {
      yield* this.#below({ ...place, tree }, top);
    } finally {
      tree.release();
    }
  }

  *#below(root: Place, top: FileLook): Generator<WalkStep, void, undefined> {
    const stack: OpenFolder[] = [];
    yield* this.#visit(root, top, stack);
    for (let folder = stack.at(-1); folder !== undefined; folder = stack.at(-1)) {
      const child = folder.children.pop();
      if (child === undefined) {
        stack.pop();
        yield { kind: "leave", id: folder.id };
        continue;
      }
      const { id: parent, names, tree } = folder;
      const path = joinPath(folder.path, child);
      const place = { path, tree, name: child, parent, names: [...names, pathText(child)] };
      const [stats, broken] = look(path, tree);
      if (stats === undefined) yield { kind: "trouble", path: pathText(path), trouble: broken };
      else if (!this.#exclusion.excludes(place.names, stats.kind === "folder"))
        yield* this.#visit(place, stats, stack);
    }
  }

  #top(path: Buffer, named: SourceTree): Look {
    const [stats, trouble] = look(path, named);
    if (stats === undefined) return [undefined, trouble];
    if (stats.kind === "folder" && !this.#options.recursive)
      return [undefined, new CopyTrouble("is-folder", `${pathText(path)}: is a folder`)];
    return [stats, undefined];
  }

  /** Its entry; a folder is opened for what is in it. */
  *#visit(
    { path, tree, name, parent, names }: Place,
    stats: FileLook,
    stack: OpenFolder[],
  ): Generator<WalkStep, void, undefined> {
    try {
      const kind = kindOf(stats, path);
      if (stack.length >= copyLimits.foldersOpenMax)
        throw new CopyTrouble("refused", `${pathText(path)}: too many folders in folders`);
      const target = kind === "link" ? tree.target(path) : none;
      const children = kind === "folder" ? childrenOf(path, tree) : [];
      const id = (this.#lastId += 1);
      const entry = { id, parent, kind, name, target, digest: undefined, ...factsOf(stats) };
      yield { kind: "entry", entry, path, tree };
      if (kind === "folder") stack.push({ id, path, tree, names, children });
    } catch (error) {
      yield { kind: "trouble", path: pathText(path), trouble: troubleOf(error, pathText(path)) };
    }
  }
}

interface Place {
  readonly path: Buffer;
  readonly tree: SourceTree;
  readonly name: Buffer;
  readonly parent: number;
  readonly names: readonly string[];
}

type Look = readonly [FileLook, undefined] | readonly [undefined, CopyTrouble];

function look(path: Buffer, tree: SourceTree): Look {
  try {
    return [tree.look(path), undefined];
  } catch (error) {
    return [undefined, troubleOf(error, pathText(path))];
  }
}

function kindOf({ kind }: FileLook, path: Buffer): FileKind {
  if (kind !== "other") return kind;
  throw new CopyTrouble("special", `${pathText(path)}: not a file, folder or link`);
}

/** Last name first. */
function childrenOf(path: Buffer, tree: SourceTree): Buffer[] {
  const children = tree.names(path);
  if (children.length > copyLimits.folderEntriesMax)
    throw new CopyTrouble(
      "too-many",
      `${pathText(path)}: more than ${copyLimits.folderEntriesMax} names`,
    );
  return children.toSorted((a, b) => Buffer.compare(b, a));
}

function factsOf({
  kind,
  mode,
  seconds,
  nanoseconds,
  size,
}: FileLook): Pick<FileEntry, "mode" | "seconds" | "nanoseconds" | "size"> {
  return { mode, seconds, nanoseconds, size: kind === "file" ? size : 0 };
}
