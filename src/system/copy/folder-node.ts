import type { FileEntry } from "../../protocol/file-message.ts";
import type { Folder } from "./folder.ts";
import { joinPath } from "./path-bytes.ts";
import { timeOf, type Wishes } from "./sink-wishes.ts";

/**
 * A folder of the copy, held open while anything in it is still to come. Its mode and times are set at
 * the end: a read-only one could not be filled, and each file changes the time.
 */
export class FolderNode {
  readonly parent: FolderNode | undefined;
  readonly path: Buffer;
  /** Undefined where it could not be made, or would only be made: what is in it is passed over or only counted. */
  readonly folder: Folder | undefined;
  readonly isRefused: boolean;
  /** Made by this copy: what comes into it meets nothing. */
  readonly isNew: boolean;
  #finish: (() => void) | undefined;
  #pending = 0;
  #closed = false;
  #left = false;

  constructor(options: {
    readonly parent: FolderNode | undefined;
    readonly path: Buffer;
    readonly folder: Folder | undefined;
    readonly isRefused?: boolean;
    readonly isNew?: boolean;
    readonly finish?: (folder: Folder) => void;
  }) {
    const { parent, path, folder, isRefused, isNew, finish } = options;
    this.parent = parent;
    this.path = path;
    this.folder = folder;
    this.isRefused = isRefused ?? false;
    this.isNew = isNew ?? false;
    if (folder !== undefined && finish !== undefined) this.#finish = () => finish(folder);
    parent?.hold();
  }

  pathOf(name: Uint8Array): Buffer {
    return joinPath(this.path, name);
  }

  hold(): void {
    this.#pending += 1;
  }

  /** Throws what the system says to its mode or time. */
  release(): void {
    this.#pending -= 1;
    this.#endIfDone();
  }

  /** Nothing more is announced in it. */
  leave(): void {
    this.#left = true;
    this.#endIfDone();
  }

  /** What is still to come never comes: it and those it is in are let go of as they are. */
  abandon(): void {
    this.#close();
    this.parent?.abandon();
  }

  #close(): void {
    if (!this.#closed) this.folder?.close();
    this.#closed = true;
  }

  #endIfDone(): void {
    if (!this.#left || this.#pending > 0) return;
    try {
      this.#finish?.();
    } finally {
      this.#close();
      this.parent?.release();
    }
  }
}

/** What is set when all is in it. One that was there keeps its mode, unless modes are preserved. */
export function finishFolder(
  entry: FileEntry,
  isNew: boolean,
  wishes: Wishes,
): (folder: Folder) => void {
  return (folder) => {
    if (wishes.preserve) folder.setOwn(entry.mode & wishes.modeMask, timeOf(entry));
    else if (isNew) folder.setOwn(entry.mode & 0o777 & ~wishes.umask, undefined);
  };
}
