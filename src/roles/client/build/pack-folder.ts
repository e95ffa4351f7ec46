import { type Stats } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pack, type Pack } from "tar-stream";

export interface PackOptions {
  /** Files are named as the owner sees them; a folder that is not root's becomes root's. */
  readonly ownedByRoot: boolean;
  /** No file is younger (SOURCE_DATE_EPOCH). */
  readonly newestMs?: number | undefined;
  /** What cannot be in an archive: sockets, devices. */
  readonly onSkipped: (path: string) => void;
}

/**
 * A tar archive of a folder: entries sorted by name, nothing in it that the folder does not say, so
 * the same folder always gives the same bytes. Extended attributes are not kept.
 */
export function packFolder(folder: string, options: PackOptions): AsyncIterable<Uint8Array> {
  const archive = pack();
  const packer = new FolderPacker(folder, archive, options);
  packer.run().then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return archive;
}

class FolderPacker {
  readonly #root: string;
  readonly #archive: Pack;
  readonly #options: PackOptions;
  /** First name of every file that has several. */
  readonly #linked = new Map<string, string>();

  constructor(root: string, archive: Pack, options: PackOptions) {
    this.#root = root;
    this.#archive = archive;
    this.#options = options;
  }

  async run(): Promise<void> {
    await this.#addFolder("");
  }

  async #addFolder(name: string): Promise<void> {
    const children = await readdir(join(this.#root, name));
    for (const child of children.toSorted(byBytes)) {
      const path = name === "" ? child : `${name}/${child}`;
      const stat = await lstat(join(this.#root, path));
      await this.#add(path, stat);
      if (stat.isDirectory()) await this.#addFolder(path);
    }
  }

  async #add(name: string, stat: Stats): Promise<void> {
    const path = join(this.#root, name);
    if (stat.isDirectory()) {
      await this.#addEmpty(name, stat, "directory");
    } else if (stat.isSymbolicLink()) {
      await this.#addEmpty(name, stat, "symlink", await readlink(path));
    } else if (stat.isFIFO()) {
      await this.#addEmpty(name, stat, "fifo");
    } else if (!stat.isFile()) {
      this.#options.onSkipped(name);
      return;
    } else if (stat.nlink > 1 && this.#linked.has(identity(stat))) {
      await this.#addEmpty(name, stat, "link", this.#linked.get(identity(stat)) ?? "");
    } else {
      if (stat.nlink > 1) this.#linked.set(identity(stat), name);
      await this.#addFile(name, path, stat);
    }
  }

  async #addEmpty(
    name: string,
    stat: Stats,
    type: "directory" | "symlink" | "link" | "fifo",
    linkname?: string,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const target = linkname === undefined ? {} : { linkname };
    this.#archive.entry({ name, type, ...this.#owner(stat), ...target }, (error) => {
      if (error == null) resolve();
      else reject(error);
    });
    await promise;
  }

  async #addFile(name: string, path: string, stat: Stats): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const headers = { name, type: "file" as const, size: stat.size, ...this.#owner(stat) };
    const entry = this.#archive.entry(headers, (error) => {
      if (error == null) resolve();
      else reject(error);
    });
    const file = await open(path);
    try {
      // Exactly so much as the header says, even if the file is written to meanwhile.
      for (let left = stat.size; left > 0;) {
        const buffer = new Uint8Array(Math.min(left, chunkBytes));
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        if (bytesRead === 0) throw new RangeError(`${path} became shorter while it was read`);
        left -= bytesRead;
        if (!entry.write(buffer.subarray(0, bytesRead)))
          await new Promise<void>((drained) => entry.once("drain", drained));
      }
      entry.end();
    } finally {
      await file.close();
    }
    await promise;
  }

  #owner(stat: Stats): { mode: number; uid: number; gid: number; mtime: Date } {
    const { ownedByRoot, newestMs = Number.POSITIVE_INFINITY } = this.#options;
    return {
      mode: stat.mode & 0o7777,
      uid: ownedByRoot ? 0 : stat.uid,
      gid: ownedByRoot ? 0 : stat.gid,
      mtime: new Date(Math.min(Math.floor(stat.mtimeMs / 1000) * 1000, newestMs)),
    };
  }
}

function identity(stat: Stats): string {
  return `${stat.dev}:${stat.ino}`;
}

/** The same everywhere, whatever the locale. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

const chunkBytes = 256 * 1024;
