import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Failure } from "../../../cli/failure.ts";
import { clientLimits } from "../limits.ts";

/** A file as it was when it was first looked at. */
export interface FileLook {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Looks at a rootfs file without reading it. Rejects with `Failure`. */
export async function lookAtRootfs(path: string): Promise<FileLook> {
  const file = await RootfsFile.open(path);
  try {
    return await file.look();
  } finally {
    await file.close();
  }
}

/** An archive on disk, read from any place: an upload may have to go on in the middle. */
export class RootfsFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Rejects with `Failure`, as everything here does. */
  static async open(path: string): Promise<RootfsFile> {
    if (path === "-")
      throw new Failure("FV-PROV-001", "standard input is not a file", { fix: toFileFirst });
    try {
      // A pipe that nobody writes to would be waited for, before we can say that it is none for us.
      return new RootfsFile(path, await open(path, constants.O_RDONLY | constants.O_NONBLOCK));
    } catch (error) {
      throw unreadable(path, error);
    }
  }

  async look(): Promise<FileLook> {
    const stat = await this.#handle.stat();
    if (!stat.isFile())
      throw new Failure("FV-PROV-001", `"${this.#path}" is not a file`, {
        fix: stat.isDirectory()
          ? "pack it first (fly-vault build --from dir:PATH), or say  provision --from dir:PATH"
          : toFileFirst,
      });
    if (stat.size === 0) throw new Failure("FV-PROV-001", `"${this.#path}" is empty`);
    return { sizeBytes: stat.size, modifiedMs: stat.mtimeMs };
  }

  /** Else the machine would be sent the head of one archive and the tail of another. */
  async mustBe(before: FileLook): Promise<void> {
    const now = await this.look();
    if (now.sizeBytes === before.sizeBytes && now.modifiedMs === before.modifiedMs) return;
    throw new Failure("FV-PROV-001", `the rootfs file "${this.#path}" changed while it was sent`, {
      because: `it had ${before.sizeBytes} bytes of ${when(before)}, and has ${now.sizeBytes} of ${when(now)}`,
      fix: "wait until it is written whole, then start again; nothing was changed",
    });
  }

  /** The next bytes from `offset` on, at most `archiveReadBytes`; none at the end. */
  async read(offset: number): Promise<Uint8Array> {
    try {
      // A new one each time: the stream may still hold the one before.
      const buffer = new Uint8Array(clientLimits.archiveReadBytes);
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, offset);
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

const toFileFirst = "write it to a file first: an upload may have to go on in the middle";

function when({ modifiedMs }: FileLook): string {
  return new Date(modifiedMs).toISOString();
}

function unreadable(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  const missing = error.code === "ENOENT" || error.code === "ENOTDIR";
  return new Failure(
    "FV-PROV-001",
    missing ? `there is no rootfs file "${path}"` : `the rootfs file "${path}" cannot be read`,
    {
      because: String(error.code),
      fix: "name a tar, tar.gz or tar.zst file, or make one:  fly-vault build --help",
    },
  );
}
