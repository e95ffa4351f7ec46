import { ptr } from "bun:ffi";
import { check, cStruct, openLibc } from "./libc.ts";

/** Who is at the other end of a Unix socket, as the kernel noted it when the two were joined. */
export interface UnixPeer {
  readonly pid: number;
  readonly uid: number;
}

/** Throws `SystemError` where `fd` is no Unix socket. */
export function unixPeer(fd: number): UnixPeer {
  const credentials = cStruct(12);
  const length = new Uint32Array(new ArrayBuffer(4));
  length[0] = credentials.length;
  check("getsockopt", () =>
    libc().getsockopt(fd, solSocket, soPeerCred, ptr(credentials), ptr(length)),
  );
  const view = new DataView(credentials.buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true) };
}

let opened: ReturnType<typeof openSymbols> | undefined;

function libc(): ReturnType<typeof openSymbols> {
  return (opened ??= openSymbols());
}

function openSymbols() {
  return openLibc({
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  });
}

/** Linux's numbers; other systems are asked in other ways. */
const solSocket = 1;
const soPeerCred = 17;
