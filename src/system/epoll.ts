import { closeSync } from "node:fs";
import { constants } from "node:os";
import { ptr } from "bun:ffi";
import { check, cStruct, lastErrno, openLibc, SystemError } from "./libc.ts";

/** What may be waited for, and what came. */
export const epollEvents = { readable: 0x001, writable: 0x004 } as const;

/**
 * Waits for many descriptors at once. One of these may be waited for by another. The program stands
 * still meanwhile, Bun's own events included. 64-bit Linux only.
 */
export class Epoll {
  readonly descriptor: number;
  readonly #libc = libc();
  readonly #events: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #address: ReturnType<typeof ptr>;
  readonly #eventsMax: number;
  readonly #change = cStruct(eventBytes);
  readonly #changeView = new DataView(this.#change.buffer);

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
    this.#events = cStruct(eventsMax * eventBytes);
    this.#view = new DataView(this.#events.buffer);
    this.#address = ptr(this.#events);
    this.descriptor = check("epoll_create1", () => this.#libc.epoll_create1(closeOnExec));
  }

  /** Level-triggered. A descriptor that is closed leaves by itself. */
  add(descriptor: number, events: number): void {
    this.#control(operations.add, descriptor, events);
  }

  change(descriptor: number, events: number): void {
    this.#control(operations.change, descriptor, events);
  }

  /** How many are ready, none when time is up or a signal came. */
  wait(timeoutMs: number): number {
    const count = this.#libc.epoll_wait(
      this.descriptor,
      this.#address,
      this.#eventsMax,
      Math.ceil(timeoutMs),
    );
    if (count >= 0) return count;
    const errno = lastErrno();
    if (errno === constants.errno.EINTR) return 0;
    throw new SystemError("epoll_wait", errno);
  }

  /** Of the last wait. */
  descriptorAt(index: number): number {
    return this.#view.getInt32(index * eventBytes + dataAt, true);
  }

  isWritable(index: number): boolean {
    return (this.#view.getUint32(index * eventBytes, true) & epollEvents.writable) !== 0;
  }

  close(): void {
    closeSync(this.descriptor);
  }

  #control(operation: number, descriptor: number, events: number): void {
    this.#changeView.setUint32(0, events, true);
    this.#changeView.setInt32(dataAt, descriptor, true);
    check("epoll_ctl", () =>
      this.#libc.epoll_ctl(this.descriptor, operation, descriptor, ptr(this.#change)),
    );
  }
}

const operations = { add: 1, change: 3 } as const;
const closeOnExec = 0o2000000;
/** `struct epoll_event` is packed on x86-64 alone. */
const eventBytes = process.arch === "x64" ? 12 : 16;
const dataAt = process.arch === "x64" ? 4 : 8;

let opened: ReturnType<typeof openEpollCalls> | undefined;

function libc(): ReturnType<typeof openEpollCalls> {
  opened ??= openEpollCalls();
  return opened;
}

function openEpollCalls() {
  return openLibc({
    epoll_create1: { args: ["i32"], returns: "i32" },
    epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
    epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  });
}
