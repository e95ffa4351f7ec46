import { ptr } from "bun:ffi";
import { check, cStruct, openLibc } from "./libc.ts";

/** One instruction of classic BPF, the language of packet filters: what to do, where to jump, with what. */
export type FilterInstruction = readonly [
  code: number,
  whenTrue: number,
  whenFalse: number,
  operand: number,
];

/** Datagrams for which it gives 0 never reach the socket. It sees them from the UDP header on. */
export function attachFilter(fd: number, program: readonly FilterInstruction[]): void {
  attach(fd, attachFilterOption, program);
}

export function detachFilter(fd: number): void {
  const unused = cStruct(4);
  check("setsockopt", () => libc().setsockopt(fd, levelSocket, detachFilterOption, ptr(unused), 4));
}

/**
 * Chooses, for a datagram, which of the sockets that share a port gets it: 0 for the one that was bound
 * first. It sees the datagram without its UDP header.
 */
export function attachChooser(fd: number, program: readonly FilterInstruction[]): void {
  attach(fd, attachChooserOption, program);
}

/** Accumulator: loads of a byte or the length, comparisons that jump, and the end with a value. */
export const filterCodes = {
  loadByte: 0x30,
  loadLength: 0x80,
  jumpIfEqual: 0x15,
  jumpIfAtLeast: 0x35,
  jumpIfAnyBit: 0x45,
  result: 0x06,
} as const;

function attach(fd: number, option: number, program: readonly FilterInstruction[]): void {
  const code = cStruct(program.length * instructionBytes);
  const view = new DataView(code.buffer);
  for (const [index, [opcode, whenTrue, whenFalse, operand]] of program.entries()) {
    const at = index * instructionBytes;
    view.setUint16(at, opcode, true);
    view.setUint8(at + 2, whenTrue);
    view.setUint8(at + 3, whenFalse);
    view.setUint32(at + 4, operand, true);
  }
  // struct sock_fprog: a length, and a pointer at 8.
  const header = cStruct(16);
  const headerView = new DataView(header.buffer);
  headerView.setUint16(0, program.length, true);
  headerView.setBigUint64(8, BigInt(ptr(code)), true);
  check("setsockopt", () => libc().setsockopt(fd, levelSocket, option, ptr(header), 16));
}

const instructionBytes = 8;
const levelSocket = 1;
const attachFilterOption = 26;
const detachFilterOption = 27;
const attachChooserOption = 51;

let opened: ReturnType<typeof openOptionCall> | undefined;

function libc(): ReturnType<typeof openOptionCall> {
  opened ??= openOptionCall();
  return opened;
}

function openOptionCall() {
  return openLibc({
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  });
}
