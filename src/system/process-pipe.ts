import { closeSync } from "node:fs";
import { ptr } from "bun:ffi";
import { check, openLibc } from "./libc.ts";

/**
 * Real pipes. Bun gives its children sockets, on which a program cannot open /dev/stderr. Both ends
 * close on exec; a child gets its end by dup2, which clears that.
 */
export interface Pipe {
  readonly readFd: number;
  readonly writeFd: number;
}

export function openPipe(): Pipe {
  const fds = new Int32Array(new ArrayBuffer(8));
  check("pipe2", () => libc().pipe2(ptr(fds), closeOnExec));
  return { readFd: fds[0] ?? -1, writeFd: fds[1] ?? -1 };
}

/** Bytes from a descriptor as they come, one pull at a time; null at the end. */
export class DescriptorReader {
  readonly #fd: number;
  readonly #reader: {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
  #closed = false;

  /** Takes `fd` over: `close` closes it. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#reader = Bun.file(fd).stream().getReader();
  }

  async read(): Promise<Uint8Array | null> {
    try {
      const { done, value } = await this.#reader.read();
      return done || this.#closed || value === undefined ? null : value;
    } catch (error) {
      // A terminal whose last program is gone reads as EIO.
      if (this.#closed || isCode(error, "EIO")) return null;
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.cancel().catch(() => undefined);
    closeSync(this.#fd);
  }
}

/** Bytes into a descriptor, with its back-pressure. */
export class DescriptorWriter {
  readonly #fd: number;
  readonly #sink: Bun.FileSink;
  #closed = false;

  /** Takes `fd` over: `close` closes it. */
  constructor(fd: number) {
    this.#fd = fd;
    this.#sink = Bun.file(fd).writer();
  }

  /** False when nobody reads the other end any more. */
  async write(bytes: Uint8Array): Promise<boolean> {
    if (this.#closed) return false;
    try {
      this.#sink.write(bytes);
      await this.#sink.flush();
      return !this.#closed;
    } catch (error) {
      if (this.#closed || isCode(error, "EPIPE") || isCode(error, "EIO")) return false;
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    Promise.resolve(this.#sink.end()).catch(() => undefined);
    closeSync(this.#fd);
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

const closeOnExec = 0o2000000;

let opened: ReturnType<typeof openPipeCalls> | undefined;

function libc(): ReturnType<typeof openPipeCalls> {
  opened ??= openPipeCalls();
  return opened;
}

function openPipeCalls() {
  return openLibc({ pipe2: { args: ["ptr", "i32"], returns: "i32" } });
}
