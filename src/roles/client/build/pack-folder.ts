import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pack, type Pack } from "tar-stream";
import { Failure } from "../../../cli/failure.ts";

export interface PackOptions {
  /** Files are named as the owner sees them; a folder that is not root's becomes root's. */
  readonly ownedByRoot: boolean;
  /** No file is younger (SOURCE_DATE_EPOCH). */
  readonly newestMs?: number | undefined;
  /** Paths that are passed over: the archive itself may come to lie in the folder. */
  readonly leaveOut?: readonly string[];
  /** What cannot be in an archive: sockets, devices. */
  readonly onSkipped: (path: string) => void;
}

/**
 * A tar archive of a folder: entries sorted by name, nothing in it that the folder does not say, so
 * the same folder always gives the same bytes. Extended attributes are not kept.
 */
export async function* packFolder(
  folder: string,
  options: PackOptions,
): AsyncGenerator<Uint8Array> {
  const archive = pack();
  const packer = new FolderPacker(folder, archive, options);
  const packing = packer.run().then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  try {
    yield* archive;
  } finally {
    archive.destroy();
    await packing;
  }
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
    const folder = join(this.#root, name);
    const children = await readdir(folder).catch((error: unknown) =>
      Promise.reject(unreadable(folder, error)),
    );
    for (const child of children.toSorted(byBytes)) {
      const path = name === "" ? child : `${name}/${child}`;
      if (this.#options.leaveOut?.includes(join(this.#root, path)) === true) continue;
      const stat = await lstat(join(this.#root, path)).catch((error: unknown) => {
        throw child.includes(notText)
          ? notUtf8(`"${join(this.#root, path)}"`)
          : unreadable(join(this.#root, path), error);
      });
      await this.#add(path, stat);
      if (stat.isDirectory()) await this.#addFolder(path);
    }
  }

  async #add(name: string, stat: Stats): Promise<void> {
    const path = join(this.#root, name);
    if (stat.isDirectory()) {
      await this.#addEmpty(name, stat, "directory");
    } else if (stat.isSymbolicLink()) {
      await this.#addEmpty(name, stat, "symlink", await linkTarget(path));
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
    // They reject what awaits them as well; an event without a listener would end the program.
    entry.on("error", () => undefined);
    promise.catch(() => undefined);
    const file = await openSame(path, stat);
    try {
      // Exactly so much as the header says, even if the file is written to meanwhile.
      for (let left = stat.size; left > 0;) {
        const buffer = new Uint8Array(Math.min(left, chunkBytes));
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        if (bytesRead === 0) throw changed(path);
        left -= bytesRead;
        if (!entry.write(buffer.subarray(0, bytesRead)))
          await Promise.race([
            promise,
            new Promise<void>((drained) => entry.once("drain", drained)),
          ]);
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

/** Not what was put in its place meanwhile: a link to a file of somebody else's, a pipe that nobody writes to. */
async function openSame(path: string, before: Stats): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) =>
    Promise.reject(unreadable(path, error)),
  );
  const now = await file.stat();
  if (identity(now) === identity(before)) return file;
  await file.close();
  throw changed(path);
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  if (error.code === "ENOENT" || error.code === "ELOOP") return changed(path);
  const because = String(error.code);
  return new Failure("FV-PROV-001", `"${path}" cannot be packed`, { because });
}

function changed(path: string): Failure {
  return new Failure("FV-PROV-001", `"${path}" changed while it was packed`, {
    because: "it is not what it was a moment before",
    fix: "pack a folder that nobody writes to: a copy, or a snapshot",
  });
}

/** Read as text it would lead elsewhere, without a word. */
async function linkTarget(path: string): Promise<string> {
  const bytes = await readlink(path, { encoding: "buffer" });
  const target = bytes.toString();
  if (!Buffer.from(target).equals(bytes)) throw notUtf8(`the target of the link "${path}"`);
  return target;
}

/** As tar-stream writes names: text. */
function notUtf8(what: string): Failure {
  return new Failure("FV-PROV-001", `${what} is not UTF-8`, {
    fix: "rename it, or pack the folder with tar, which takes any name",
  });
}

function identity(stat: Stats): string {
  return `${stat.dev}:${stat.ino}`;
}

/** The same everywhere, whatever the locale. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What stands for bytes that are no text. */
const notText = "\uFFFD";
const chunkBytes = 256 * 1024;
