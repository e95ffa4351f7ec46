import { closeSync, constants, openSync } from "node:fs";
import { ptr } from "bun:ffi";
import { check, cStruct, lastErrno, openLibc, SystemError } from "../../src/system/libc.ts";

/** A network interface whose packets are read and written here. Each call moves one IP packet, nothing around it. */
export class Tun {
  readonly fd: number;
  readonly #libc = openLibc({
    ioctl: { args: ["i32", "u64", "u64"], returns: "i32" },
    read: { args: ["i32", "u64", "u64"], returns: "i64" },
    write: { args: ["i32", "u64", "u64"], returns: "i64" },
  });

  /** Makes the interface in the network namespace of this process; it goes when this is closed. */
  constructor(name: string) {
    this.fd = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
    const request = cStruct(40);
    request.set(Buffer.from(name));
    new DataView(request.buffer).setUint16(16, tunDevice | noPacketInformation, true);
    check("ioctl", () => this.#libc.ioctl(this.fd, setInterface, BigInt(ptr(request))), name);
  }

  /** Bytes of the packet, 0 when there is none. */
  read(address: number, bytesMax: number): number {
    return this.#moved("read", this.#libc.read(this.fd, address, bytesMax));
  }

  /** False when the interface took nothing: it is down or full. */
  write(address: number, bytes: number): boolean {
    return this.#moved("write", this.#libc.write(this.fd, address, bytes)) > 0;
  }

  close(): void {
    closeSync(this.fd);
  }

  #moved(syscall: string, result: number | bigint): number {
    if (result > 0) return Number(result);
    const errno = lastErrno();
    if (passing.has(errno)) return 0;
    throw new SystemError(syscall, errno);
  }
}

const setInterface = 0x400454ca;
const tunDevice = 0x0001;
const noPacketInformation = 0x1000;
/** EINTR, EIO (the interface is down), EAGAIN, ENOBUFS. */
const passing: ReadonlySet<number> = new Set([4, 5, 11, 105]);
