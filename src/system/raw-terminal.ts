import { check, cStruct, openLibc } from "./libc.ts";

/** `keys`: every key arrives at once and unseen, Ctrl-C is still a signal. `raw`: every key is data. */
export type TerminalMode = "keys" | "raw";

/**
 * The modes of a terminal as they were found, and the way to others and back. Bun's own raw mode keeps
 * turning line feeds of the output into carriage return and line feed, which tears the screens of
 * full-screen programs; this one lets them through.
 */
export class TerminalSettings {
  readonly #fd: number;
  readonly #found = cStruct(termiosBytesMax);

  constructor(fd: number) {
    this.#fd = fd;
    check("tcgetattr", () => libc().tcgetattr(fd, this.#found));
  }

  /** Whether lines were edited and echoed, as shells want their terminals. */
  get editsLines(): boolean {
    const { at, lineAndEcho } = lineFlags;
    const flags = new DataView(this.#found.buffer).getUint32(at, true);
    return (flags & lineAndEcho) === lineAndEcho;
  }

  enter(mode: TerminalMode): void {
    const wanted = cStruct(termiosBytesMax);
    wanted.set(this.#found);
    if (mode === "raw") libc().cfmakeraw(wanted);
    else clearLineFlags(wanted);
    this.#set(wanted);
  }

  restore(): void {
    this.#set(this.#found);
  }

  /** At once: output that nobody reads must not hold up the one who leaves. */
  #set(termios: Uint8Array<ArrayBuffer>): void {
    check("tcsetattr", () => libc().tcsetattr(this.#fd, tcsanow, termios));
  }
}

/** Whether a short write would not wait, in so many milliseconds. */
export function takesOutput(fd: number, waitMs: number): boolean {
  const poll = new DataView(new ArrayBuffer(8));
  poll.setInt32(0, fd, true);
  poll.setInt16(4, pollOut, true);
  const memory = new Uint8Array(poll.buffer);
  return libc().poll(memory, 1n, waitMs) === 1 && (poll.getInt16(6, true) & pollOut) !== 0;
}

function clearLineFlags(termios: Uint8Array<ArrayBuffer>): void {
  const { at, lineAndEcho } = lineFlags;
  const view = new DataView(termios.buffer);
  view.setUint32(at, view.getUint32(at, true) & ~lineAndEcho, true);
}

/** `c_lflag` stands behind three flag words, which are long on macOS. */
const lineFlags =
  process.platform === "darwin" ? { at: 24, lineAndEcho: 0x108 } : { at: 12, lineAndEcho: 0x0a };
/** Larger than `struct termios` of any platform. */
const termiosBytesMax = 256;
const tcsanow = 0;
const pollOut = 4;

let opened: ReturnType<typeof openTerminalCalls> | undefined;

function libc(): ReturnType<typeof openTerminalCalls> {
  opened ??= openTerminalCalls();
  return opened;
}

function openTerminalCalls() {
  return openLibc({
    tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
    tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
    cfmakeraw: { args: ["ptr"], returns: "void" },
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  });
}
