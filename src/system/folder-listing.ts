import { check, cStruct, openLibc } from "./libc.ts";

/** Names in the folder that `fd` is, in no order, at most so many. Linux, 64 bit. */
export function listFolder(fd: number, most: number): Buffer[] {
  return folderNames(fd).take(most).toArray();
}

/** The same, read as they are asked for: of a folder with any number of names no more than one read is held. */
export function* folderNames(fd: number): Generator<Buffer, void, undefined> {
  const records = cStruct(readBytes);
  const view = new DataView(records.buffer);
  for (;;) {
    const length = check("getdents64", () =>
      libc().syscall(getdents64Number, fd, records, BigInt(records.length)),
    );
    if (length === 0) return;
    // struct linux_dirent64: inode, offset, length of the record (at 16), kind, name
    for (let at = 0; at < length; at += view.getUint16(at + 16, true)) {
      const begin = at + 19;
      const name = records.subarray(begin, records.indexOf(0, begin));
      if (!isDots(name)) yield Buffer.from(name);
    }
  }
}

function isDots(name: Uint8Array): boolean {
  return name.length <= 2 && name.every((byte) => byte === 0x2e);
}

const readBytes = 64 * 1024;
const getdents64Number = process.arch === "arm64" ? 61 : 217;

let opened: ReturnType<typeof openSyscall> | undefined;

function libc(): ReturnType<typeof openSyscall> {
  return (opened ??= openSyscall());
}

function openSyscall() {
  return openLibc({ syscall: { args: ["i64", "i64", "ptr", "u64"], returns: "i64" } });
}
