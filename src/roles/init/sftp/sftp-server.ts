import {
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  type Stats,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { WireError } from "../../../protocol/errors.ts";
import { Reader, Writer } from "../../../protocol/wire.ts";
import { canonicalPath } from "../../../system/canonical-path.ts";
import { type OwnerNames, ownerNames } from "../account.ts";
import { sftpLimits } from "./limits.ts";
import { readAttributes, setOfFile, setOfPath, writeAttributes } from "./sftp-attributes.ts";
import { answerExtended, extensions } from "./sftp-extensions.ts";
import { SftpHandles } from "./sftp-handles.ts";
import { longName } from "./sftp-listing.ts";
import { absolutePath } from "./sftp-path.ts";
import {
  namePacket,
  packet,
  readString,
  replyTypes,
  requestTypes,
  statusPacket,
  writeString,
} from "./sftp-wire.ts";

/** Answers requests one by one, by synchronous calls, in the root and as the user it finds itself. */
export class SftpServer {
  readonly #home: string;
  readonly #owners: () => OwnerNames;
  readonly #handles = new SftpHandles();

  /** `owners` of the guest, once somebody lists. */
  constructor(home: string, owners: () => OwnerNames = ownerNames) {
    this.#owners = owners;
    this.#home = home;
  }

  /** `request` is a packet without its length. Throws `WireError` where not even an id can be read. */
  answer(request: Uint8Array): Uint8Array {
    const reader = new Reader(request, "SFTP packet");
    const type = reader.u8();
    if (type === requestTypes.init) return versionPacket();
    const id = reader.u32();
    try {
      return this.#perform(type, id, reader);
    } catch (error) {
      return refusal(id, error);
    }
  }

  #perform(type: number, id: number, reader: Reader): Uint8Array {
    switch (type) {
      case requestTypes.open:
        return this.#open(id, reader);
      case requestTypes.close:
        this.#handles.close(readString(reader));
        return statusPacket(id, "ok");
      case requestTypes.read:
        return this.#read(id, reader);
      case requestTypes.write:
        return this.#write(id, reader);
      case requestTypes.opendir:
        return this.#openFolder(id, reader);
      case requestTypes.readdir:
        return this.#list(id, reader);
      case requestTypes.extended:
        return answerExtended(id, reader, this.#tools);
      default:
        return this.#look(type, id, reader) ?? this.#change(type, id, reader);
    }
  }

  /** Requests that tell of a file. */
  #look(type: number, id: number, reader: Reader): Uint8Array | undefined {
    switch (type) {
      case requestTypes.lstat:
        return attributesPacket(id, lstatSync(this.#path(reader)));
      case requestTypes.stat:
        return attributesPacket(id, statSync(this.#path(reader)));
      case requestTypes.fstat:
        return attributesPacket(id, fstatSync(this.#handles.file(readString(reader)).fd));
      case requestTypes.realpath:
        return namePacket(id, canonicalPath(this.#path(reader)));
      case requestTypes.readlink:
        return namePacket(id, readlinkSync(this.#path(reader), "buffer"));
      default:
        return undefined;
    }
  }

  /** Requests that change one, and are answered by a status alone. */
  #change(type: number, id: number, reader: Reader): Uint8Array {
    switch (type) {
      case requestTypes.setstat:
        setOfPath(this.#path(reader), readAttributes(reader));
        break;
      case requestTypes.fsetstat:
        setOfFile(this.#handles.file(readString(reader)).fd, readAttributes(reader));
        break;
      case requestTypes.remove:
        unlinkSync(this.#path(reader));
        break;
      case requestTypes.mkdir:
        mkdirSync(this.#path(reader), { mode: readAttributes(reader).mode ?? 0o777 });
        break;
      case requestTypes.rmdir:
        rmdirSync(this.#path(reader));
        break;
      case requestTypes.rename:
        renameToFree(this.#path(reader), this.#path(reader));
        break;
      case requestTypes.symlink:
        // OpenSSH has the two the other way round than the draft, and so has everybody since.
        symlinkSync(readString(reader), this.#path(reader));
        break;
      default:
        return statusPacket(id, "unsupported");
    }
    return statusPacket(id, "ok");
  }

  get #tools() {
    return {
      path: (reader: Reader): Buffer => this.#path(reader),
      file: (reader: Reader): number => this.#handles.file(readString(reader)).fd,
      home: this.#home,
    };
  }

  #path(reader: Reader): Buffer {
    return absolutePath(readString(reader), this.#home);
  }

  #open(id: number, reader: Reader): Uint8Array {
    const path = this.#path(reader);
    const wish = reader.u32();
    const { mode = 0o666 } = readAttributes(reader);
    if (this.#handles.isFull) return statusPacket(id, "failure", "Too many open files");
    // A pipe would hold us up here until somebody opens its other end.
    const fd = openSync(path, openFlagsOf(wish) | constants.O_NONBLOCK, mode);
    return handlePacket(
      id,
      this.#handles.add({ kind: "file", fd, appends: (wish & wishes.append) !== 0 }),
    );
  }

  #read(id: number, reader: Reader): Uint8Array {
    const { fd } = this.#handles.file(readString(reader));
    const offset = reader.u64();
    const wanted = Math.min(reader.u32(), sftpLimits.dataBytesMax);
    const bytes = Buffer.allocUnsafe(wanted);
    const count = readSync(fd, bytes, 0, wanted, offset);
    if (count === 0 && wanted > 0) return statusPacket(id, "endOfFile");
    const body = new Writer(8 + count).u32(id);
    return packet(replyTypes.data, writeString(body, bytes.subarray(0, count)));
  }

  #write(id: number, reader: Reader): Uint8Array {
    const { fd, appends } = this.#handles.file(readString(reader));
    const offset = reader.u64();
    const bytes = readString(reader);
    for (let from = 0; from < bytes.length;)
      from += writeSync(fd, bytes, from, bytes.length - from, appends ? null : offset + from);
    return statusPacket(id, "ok");
  }

  #openFolder(id: number, reader: Reader): Uint8Array {
    const path = this.#path(reader);
    if (this.#handles.isFull) return statusPacket(id, "failure", "Too many open files");
    const names = readdirSync(path, { encoding: "buffer" });
    names.push(Buffer.from("."), Buffer.from(".."));
    return handlePacket(id, this.#handles.add({ kind: "folder", path, names }));
  }

  #list(id: number, reader: Reader): Uint8Array {
    const handle = this.#handles.find(readString(reader));
    if (handle.kind !== "folder") throw new RangeError("That handle is a file");
    const names = handle.names.splice(-sftpLimits.listedMax);
    if (names.length === 0) return statusPacket(id, "endOfFile");
    const found = names.flatMap((name) => {
      const path = Buffer.concat([handle.path, Buffer.from("/"), name]);
      const stats = lstatSync(path, { throwIfNoEntry: false });
      return stats === undefined ? [] : [{ name, stats }];
    });
    const body = new Writer(names.length * 128).u32(id).u32(found.length);
    const view = { owners: this.#owners(), nowMs: Date.now() };
    for (const { name, stats } of found)
      writeAttributes(writeString(writeString(body, name), longName(name, stats, view)), stats);
    return packet(replyTypes.name, body);
  }
}

const wishes = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

function openFlagsOf(wish: number): number {
  const has = (flag: number): boolean => (wish & flag) !== 0;
  const both = has(wishes.read) && has(wishes.write);
  const access = both
    ? constants.O_RDWR
    : has(wishes.write)
      ? constants.O_WRONLY
      : constants.O_RDONLY;
  return (
    access |
    (has(wishes.append) ? constants.O_APPEND : 0) |
    (has(wishes.create) ? constants.O_CREAT : 0) |
    (has(wishes.truncate) ? constants.O_TRUNC : 0) |
    (has(wishes.exclusive) ? constants.O_EXCL : 0)
  );
}

/** Version 3 never renames onto something; the kernel's call does, but a link cannot be made there. */
function renameToFree(from: Buffer, to: Buffer): void {
  if (lstatSync(from).isFile()) {
    linkSync(from, to);
    unlinkSync(from);
    return;
  }
  if (lstatSync(to, { throwIfNoEntry: false }) !== undefined)
    throw Object.assign(new Error("It is there already"), { code: "EEXIST" });
  renameSync(from, to);
}

function versionPacket(): Uint8Array {
  const body = new Writer().u32(3);
  for (const [name, version] of extensions) writeString(writeString(body, name), version);
  return packet(replyTypes.version, body);
}

function handlePacket(id: number, handle: Buffer): Uint8Array {
  return packet(replyTypes.handle, writeString(new Writer().u32(id), handle));
}

function attributesPacket(id: number, stats: Stats): Uint8Array {
  return packet(replyTypes.attributes, writeAttributes(new Writer().u32(id), stats));
}

function refusal(id: number, error: unknown): Uint8Array {
  if (error instanceof WireError) return statusPacket(id, "badMessage", error.message);
  if (!(error instanceof Error)) throw error;
  const code = "code" in error ? String(error.code) : "";
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return statusPacket(id, "noSuchFile", "No such file");
    case "EACCES":
    case "EPERM":
      return statusPacket(id, "permissionDenied", "Permission denied");
    default:
      return statusPacket(id, "failure", code === "" ? error.message : code);
  }
}
