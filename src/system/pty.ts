import { closeSync, constants, openSync, writeSync } from "node:fs";
import { ptr } from "bun:ffi";
import { check, cString, openLibc } from "./libc.ts";

/** A pseudo-terminal made in a given devpts, so that its name means the same inside a workload. */
export interface Pty {
  /** Non-blocking, closes on exec. */
  readonly masterFd: number;
  /** Keeps the terminal alive while it is open; closes on exec. */
  readonly slaveFd: number;
  /** "/dev/pts/3" where that devpts is mounted at /dev/pts. */
  readonly path: string;
}

export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

/** Opens the folder of a devpts for `openPty`. */
export function openDevpts(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

export function openPty(devptsFd: number): Pty {
  const name = cString("ptmx");
  const flags = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | closeOnExec;
  const masterFd = check("openat", () => libc().openat(devptsFd, ptr(name), flags, 0), "ptmx");
  try {
    const word = new Int32Array(new ArrayBuffer(8));
    control(masterFd, unlock, BigInt(ptr(word)));
    control(masterFd, readNumber, BigInt(ptr(word)));
    const path = `/dev/pts/${word[0]}`;
    const peerFlags = constants.O_RDWR | constants.O_NOCTTY | closeOnExec;
    return { masterFd, slaveFd: control(masterFd, openPeer, BigInt(peerFlags)), path };
  } catch (error) {
    closeSync(masterFd);
    throw error;
  }
}

/** The program in the foreground gets SIGWINCH when the size is another one. */
export function setTerminalSize(fd: number, size: TerminalSize): void {
  const words = new Uint16Array(new ArrayBuffer(8));
  words[0] = size.rows;
  words[1] = size.cols;
  control(fd, setSize, BigInt(ptr(words)));
}

/**
 * Shows words on a terminal as wall(1) does, beside what its programs write. A terminal that takes no
 * output, as after Ctrl-S, is left alone.
 */
export function showOnTerminal(masterFd: number, words: string): void {
  const flags = constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK | closeOnExec;
  try {
    const fd = control(masterFd, openPeer, BigInt(flags));
    try {
      writeSync(fd, words);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Full, or hung up just now.
  }
}

/** Process group in the foreground of a terminal, as seen from outside; 0 when there is none. */
export function foregroundGroup(fd: number): number {
  const word = new Int32Array(new ArrayBuffer(8));
  control(fd, readForeground, BigInt(ptr(word)));
  return word[0] ?? 0;
}

/** How many bytes a read of this pipe or terminal would get now. */
export function waitingBytes(fd: number): number {
  const word = new Int32Array(new ArrayBuffer(8));
  control(fd, readWaiting, BigInt(ptr(word)));
  return word[0] ?? 0;
}

function control(fd: number, request: bigint, argument: bigint): number {
  return check("ioctl", () => libc().ioctl(fd, request, argument));
}

const closeOnExec = 0o2000000;
const unlock = 0x4004_5431n;
const readNumber = 0x8004_5430n;
const openPeer = 0x5441n;
const setSize = 0x5414n;
const readForeground = 0x540fn;
const readWaiting = 0x541bn;

let opened: ReturnType<typeof openPtyCalls> | undefined;

function libc(): ReturnType<typeof openPtyCalls> {
  opened ??= openPtyCalls();
  return opened;
}

function openPtyCalls() {
  return openLibc({
    openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "u64"], returns: "i32" },
  });
}
