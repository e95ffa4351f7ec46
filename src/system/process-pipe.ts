import { closeSync, writeSync } from "node:fs";
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

/** Bulk data: fewer turns of both programs. What the user may have is less, and no reason to fail. */
export function enlargePipe({ writeFd }: Pipe): void {
  libc().fcntl(writeFd, setPipeSize, bulkPipeBytes);
}

/** Whether a read of it would not wait: there are bytes, or there is the end. */
export function hasInput(fd: number): boolean {
  const request = new Int32Array(new ArrayBuffer(8));
  request[0] = fd;
  request[1] = pollIn;
  return check("poll", () => libc().poll(ptr(request), 1n, 0)) > 0;
}

/** Whether the other end of a socket or pipe is gone altogether. */
export function hasHungUp(fd: number): boolean {
  const request = new Int32Array(new ArrayBuffer(8));
  request[0] = fd;
  // Asked for nothing, it still tells of POLLERR, POLLHUP and POLLNVAL.
  return check("poll", () => libc().poll(ptr(request), 1n, 0)) > 0;
}

/** Bytes from a descriptor as they come, one pull at a time; null at the end. */
export class DescriptorReader {
  readonly #closeFd: () => void;
  readonly #reader: {
    read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
  #closed = false;

  /** Takes `fd` over: `close` closes it, by `closeFd` where others use it too. */
  constructor(fd: number, closeFd: () => void = () => closeSync(fd)) {
    this.#closeFd = closeFd;
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
    this.#closeFd();
  }
}

/** Bytes into a descriptor, with its back-pressure. */
export class DescriptorWriter {
  readonly #closeFd: () => void;
  readonly #sink: Bun.FileSink;
  #closed = false;

  /** Takes `fd` over: `close` closes it, by `closeFd` where others use it too. */
  constructor(fd: number, closeFd: () => void = () => closeSync(fd)) {
    this.#closeFd = closeFd;
    this.#sink = Bun.file(fd).writer();
  }

  /** False when nobody reads the other end any more. */
  async write(bytes: Uint8Array): Promise<boolean> {
    if (this.#closed) return false;
    try {
      await this.#sink.write(bytes);
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
    this.#closeFd();
  }
}

/**
 * Bytes into a terminal's master, which is non-blocking. Bun's own writer would wait in the system call
 * when nobody reads what is typed, and the whole program with it.
 */
export class TerminalWriter {
  readonly #fd: number;
  readonly #closeFd: () => void;
  #closed = false;

  constructor(fd: number, closeFd: () => void) {
    this.#fd = fd;
    this.#closeFd = closeFd;
  }

  /** False when the terminal is gone. */
  async write(bytes: Uint8Array): Promise<boolean> {
    let offset = 0;
    let pauseMs = terminalPauseMs;
    while (offset < bytes.length) {
      if (this.#closed) return false;
      try {
        offset += writeSync(this.#fd, bytes, offset);
        pauseMs = terminalPauseMs;
      } catch (error) {
        if (!isCode(error, "EAGAIN")) return false;
        await Bun.sleep(pauseMs);
        pauseMs = Math.min(pauseMs * 2, terminalPauseMsMax);
      }
    }
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeFd();
  }
}

const terminalPauseMs = 2;
const terminalPauseMsMax = 50;

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

const setPipeSize = 1031;
const bulkPipeBytes = 1024 * 1024;
const pollIn = 1;
const closeOnExec = 0o2000000;

let opened: ReturnType<typeof openPipeCalls> | undefined;

function libc(): ReturnType<typeof openPipeCalls> {
  opened ??= openPipeCalls();
  return opened;
}

function openPipeCalls() {
  return openLibc({
    pipe2: { args: ["ptr", "i32"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  });
}
