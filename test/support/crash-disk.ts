/** Names and contents of a disk in memory, as plain values: cheap to copy, easy to compare. */
export type Tree = { readonly [name: string]: Tree | string };

/** A file is the blocks a disk writes one by one; they are replaced, never changed. */
export type Blocks = readonly string[];
export const blockBytes = 4096;
export const zeroBlock = "\0".repeat(blockBytes);

export interface Folder {
  mark: string;
  readonly names: Map<string, number>;
}

export class CrashDisk {
  readonly #folders: Map<number, Folder>;
  readonly #files: Map<number, Blocks>;

  constructor(
    folders: Map<number, Folder> = new Map([[rootNode, newFolder()]]),
    files: Map<number, Blocks> = new Map(),
  ) {
    this.#folders = folders;
    this.#files = files;
  }

  copy(): CrashDisk {
    const folders = new Map<number, Folder>();
    for (const [node, { mark, names }] of this.#folders)
      folders.set(node, { mark, names: new Map(names) });
    return new CrashDisk(folders, new Map(this.#files));
  }

  /** Of all files that still have a name. */
  get bytes(): number {
    return this.#bytesOf(rootNode);
  }

  /** Paths begin at the root. */
  node(path: string): number | undefined {
    let node: number | undefined = rootNode;
    if (path === "/") return node;
    const names = path.split("/");
    for (let depth = 1; depth < names.length && node !== undefined; depth++)
      node = this.#folders.get(node)?.names.get(names[depth] ?? "");
    return node;
  }

  names(path: string): readonly string[] {
    return [...(this.folder(this.node(path))?.names.keys() ?? [])];
  }

  folder(node: number | undefined): Folder | undefined {
    return node === undefined ? undefined : this.#folders.get(node);
  }

  blocks(node: number | undefined): Blocks | undefined {
    return node === undefined ? undefined : this.#files.get(node);
  }

  makeFolder(node: number): void {
    this.#folders.set(node, newFolder());
  }

  setBlocks(node: number, blocks: Blocks): void {
    this.#files.set(node, blocks);
  }

  /** All below a path; undefined where there is nothing. */
  tree(path: string): Tree | string | undefined {
    const node = this.node(path);
    return node === undefined ? undefined : this.#treeOf(node);
  }

  /** Is it this, to the byte? The same as to compare `tree(path)`, but quicker. */
  holds(path: string, tree: Tree | string | undefined): boolean {
    const node = this.node(path);
    return node === undefined || tree === undefined ? node === tree : this.#isTree(node, tree);
  }

  #isTree(node: number, tree: Tree | string): boolean {
    if (typeof tree === "string") return isText(this.#files.get(node), tree);
    const names = this.#folders.get(node)?.names;
    const wanted = Object.entries(tree);
    if (names?.size !== wanted.length) return false;
    return wanted.every(([name, child]) => {
      const found = names.get(name);
      return found !== undefined && this.#isTree(found, child);
    });
  }

  #bytesOf(node: number): number {
    const names = this.#folders.get(node)?.names;
    if (names === undefined) return (this.#files.get(node)?.length ?? 0) * blockBytes;
    let bytes = 0;
    for (const child of names.values()) bytes += this.#bytesOf(child);
    return bytes;
  }

  #treeOf(node: number): Tree | string {
    const folder = this.#folders.get(node);
    if (folder === undefined) return (this.#files.get(node) ?? []).join("");
    const names = [...folder.names].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(names.map(([name, child]) => [name, this.#treeOf(child)]));
  }
}

const rootNode = 0;

function isText(blocks: Blocks | undefined, text: string): boolean {
  let at = 0;
  for (const block of blocks ?? []) {
    if (!text.startsWith(block, at)) return false;
    at += block.length;
  }
  return blocks !== undefined && at === text.length;
}

function newFolder(): Folder {
  return { mark: "", names: new Map() };
}

export function toBlocks(text: string): Blocks {
  const count = Math.ceil(text.length / blockBytes);
  return Array.from({ length: count }, (_, index) =>
    text.slice(index * blockBytes, (index + 1) * blockBytes),
  );
}
