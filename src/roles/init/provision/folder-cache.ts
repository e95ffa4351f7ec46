import {
  closeFile,
  hasCode,
  mkdirat,
  openat2,
  openFlags,
  resolveFlags,
} from "../../../system/filesystem.ts";
import { bytesOf, type ByteString } from "../../../system/archive/tar/byte-string.ts";
import { TarRefusal } from "../../../system/archive/tar/refusal.ts";

/** Never out of the root, never through a link, whoever made it. */
export const strictResolve =
  resolveFlags.beneath | resolveFlags.noSymlinks | resolveFlags.noMagicLinks;

/**
 * Descriptors of folders below the root, the least recently used ones closed. The kernel decides on
 * every open that the path is made of real folders only; a name is then used relative to one.
 */
export class FolderCache {
  readonly #rootFd: number;
  readonly #foldersMax: number;
  readonly #folders = new Map<ByteString, number>();
  readonly #onCreate: (path: ByteString) => void;

  constructor(rootFd: number, foldersMax: number, onCreate: (path: ByteString) => void) {
    this.#rootFd = rootFd;
    this.#foldersMax = foldersMax;
    this.#onCreate = onCreate;
  }

  /** The folder that holds `path`; missing ones are made on the way. Throws `TarRefusal`. */
  parentOf(path: ByteString): { readonly fd: number; readonly name: Uint8Array } {
    const slash = path.lastIndexOf("/");
    const name = bytesOf(path.slice(slash + 1));
    if (slash === -1) return { fd: this.#rootFd, name };
    const parent = path.slice(0, slash);
    try {
      return { fd: this.#open(parent), name };
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw asRefusal(error);
      this.#create(parent);
      return { fd: this.#open(parent), name };
    }
  }

  /** As `parentOf`, but what is not there is an error of its own: undefined. */
  existingParentOf(
    path: ByteString,
  ): { readonly fd: number; readonly name: Uint8Array } | undefined {
    const slash = path.lastIndexOf("/");
    const name = bytesOf(path.slice(slash + 1));
    if (slash === -1) return { fd: this.#rootFd, name };
    try {
      return { fd: this.#open(path.slice(0, slash)), name };
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw asRefusal(error);
    }
  }

  close(): void {
    for (const fd of this.#folders.values()) closeFile(fd);
    this.#folders.clear();
  }

  #open(path: ByteString): number {
    const known = this.#folders.get(path);
    if (known !== undefined) {
      // Map order is age: put it at the young end.
      this.#folders.delete(path);
      this.#folders.set(path, known);
      return known;
    }
    const fd = openat2(this.#rootFd, bytesOf(path), {
      flags: openFlags.path | openFlags.directory,
      resolve: strictResolve,
    });
    this.#folders.set(path, fd);
    if (this.#folders.size > this.#foldersMax) this.#closeOldest();
    return fd;
  }

  #closeOldest(): void {
    const oldest = this.#folders.entries().next();
    if (oldest.done === true) return;
    const [path, fd] = oldest.value;
    this.#folders.delete(path);
    closeFile(fd);
  }

  /** Parents an archive does not mention get the mode everybody expects of them. */
  #create(path: ByteString): void {
    let at = 0;
    while (at !== -1) {
      at = path.indexOf("/", at + 1);
      const folder = at === -1 ? path : path.slice(0, at);
      const { fd, name } = this.#existing(folder);
      try {
        mkdirat(fd, name, 0o755);
        this.#onCreate(folder);
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
    }
  }

  #existing(path: ByteString): { readonly fd: number; readonly name: Uint8Array } {
    const found = this.existingParentOf(path);
    if (found === undefined) throw new TarRefusal("E_PARENT_NOT_DIRECTORY", "A parent went away");
    return found;
  }
}

function asRefusal(error: unknown): unknown {
  if (hasCode(error, "ELOOP", "EXDEV")) {
    return new TarRefusal("E_PARENT_SYMLINK", "A folder of the path is a symbolic link");
  }
  if (hasCode(error, "ENOTDIR")) {
    return new TarRefusal("E_PARENT_NOT_DIRECTORY", "A folder of the path is a file");
  }
  return error;
}
