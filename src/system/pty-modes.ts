import { ptr } from "bun:ffi";
import { check, openLibc } from "./libc.ts";

/** Modes of a terminal as SSH names them (RFC 4254, section 8): opcode and value. */
export type TerminalMode = readonly [opcode: number, value: number];

/** Sets those that Linux knows; all others are as they were. */
export function setTerminalModes(fd: number, modes: readonly TerminalMode[]): void {
  const bytes = new Uint8Array(new ArrayBuffer(termiosBytes));
  check("tcgetattr", () => libc().ioctl(fd, readAttributes, BigInt(ptr(bytes))));
  const view = new DataView(bytes.buffer);
  for (const [opcode, value] of modes) setMode(view, opcode, value);
  check("tcsetattr", () => libc().ioctl(fd, writeAttributes, BigInt(ptr(bytes))));
}

function setMode(termios: DataView, opcode: number, value: number): void {
  const character = characters[opcode];
  if (character !== undefined) {
    // 255 is SSH's "none", which is 0 here.
    termios.setUint8(firstCharacter + character, value === 255 ? 0 : value & 0xff);
    return;
  }
  const flag = flags[opcode];
  if (flag === undefined) return;
  const [word, mask, bits] = flag;
  // A size of characters is a number of several bits, of which "no" says nothing.
  if (mask !== bits && value === 0) return;
  const before = termios.getUint32(word, true);
  termios.setUint32(word, value === 0 ? before & ~mask : (before & ~mask) | bits, true);
}

/** The kernel's own structure: four words of flags, the line discipline, 19 characters. */
const termiosBytes = 40;
const [input, output, control, local] = [0, 4, 8, 12] as const;
const firstCharacter = 17;

const characters: Readonly<Record<number, number>> = {
  1: 0, // VINTR
  2: 1, // VQUIT
  3: 2, // VERASE
  4: 3, // VKILL
  5: 4, // VEOF
  6: 11, // VEOL
  7: 16, // VEOL2
  8: 8, // VSTART
  9: 9, // VSTOP
  10: 10, // VSUSP
  12: 12, // VREPRINT
  13: 14, // VWERASE
  14: 15, // VLNEXT
  16: 7, // VSWTCH
  18: 13, // VDISCARD
};

type Flag = readonly [word: number, mask: number, bits: number];

function bit(word: number, mask: number): Flag {
  return [word, mask, mask];
}

const flags: Readonly<Record<number, Flag>> = {
  30: bit(input, 0o4), // IGNPAR
  31: bit(input, 0o10), // PARMRK
  32: bit(input, 0o20), // INPCK
  33: bit(input, 0o40), // ISTRIP
  34: bit(input, 0o100), // INLCR
  35: bit(input, 0o200), // IGNCR
  36: bit(input, 0o400), // ICRNL
  37: bit(input, 0o1000), // IUCLC
  38: bit(input, 0o2000), // IXON
  39: bit(input, 0o4000), // IXANY
  40: bit(input, 0o10000), // IXOFF
  41: bit(input, 0o20000), // IMAXBEL
  42: bit(input, 0o40000), // IUTF8
  50: bit(local, 0o1), // ISIG
  51: bit(local, 0o2), // ICANON
  52: bit(local, 0o4), // XCASE
  53: bit(local, 0o10), // ECHO
  54: bit(local, 0o20), // ECHOE
  55: bit(local, 0o40), // ECHOK
  56: bit(local, 0o100), // ECHONL
  57: bit(local, 0o200), // NOFLSH
  58: bit(local, 0o400), // TOSTOP
  59: bit(local, 0o100000), // IEXTEN
  60: bit(local, 0o1000), // ECHOCTL
  61: bit(local, 0o4000), // ECHOKE
  62: bit(local, 0o40000), // PENDIN
  70: bit(output, 0o1), // OPOST
  71: bit(output, 0o2), // OLCUC
  72: bit(output, 0o4), // ONLCR
  73: bit(output, 0o10), // OCRNL
  74: bit(output, 0o20), // ONOCR
  75: bit(output, 0o40), // ONLRET
  90: [control, 0o60, 0o40], // CS7
  91: [control, 0o60, 0o60], // CS8
  92: bit(control, 0o400), // PARENB
  93: bit(control, 0o1000), // PARODD
};

const readAttributes = 0x5401n;
const writeAttributes = 0x5402n;

let opened: ReturnType<typeof openTerminalCalls> | undefined;

function libc(): ReturnType<typeof openTerminalCalls> {
  opened ??= openTerminalCalls();
  return opened;
}

function openTerminalCalls() {
  return openLibc({ ioctl: { args: ["i32", "u64", "u64"], returns: "i32" } });
}
