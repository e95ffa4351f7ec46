import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { WireError } from "../../../src/protocol/errors.ts";
import { Reader, Writer } from "../../../src/protocol/wire.ts";
import { namesByNumber } from "../../../src/roles/init/account.ts";
import { sftpLimits } from "../../../src/roles/init/sftp/limits.ts";
import { linksMax } from "../../../src/system/canonical-path.ts";
import { longName } from "../../../src/roles/init/sftp/sftp-listing.ts";
import { SftpPackets } from "../../../src/roles/init/sftp/sftp-packets.ts";
import { SftpServer } from "../../../src/roles/init/sftp/sftp-server.ts";
import {
  readString,
  replyTypes,
  requestTypes,
  statuses,
  writeString,
} from "../../../src/roles/init/sftp/sftp-wire.ts";
import { seeded } from "../../support/seed.ts";

let home: string;
let server: SftpServer;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "fv-sftp-"));
  server = new SftpServer(home);
});

afterEach(() => rmSync(home, { recursive: true }));

test("says version 3 and which extensions it has", () => {
  const reader = new Reader(server.answer(Uint8Array.of(requestTypes.init, 0, 0, 0, 3)), "reply");
  reader.u32();
  expect(reader.u8()).toBe(replyTypes.version);
  expect(reader.u32()).toBe(3);
  expect(readString(reader).toString()).toBe("posix-rename@openssh.com");
});

test("writes, reads and tells the end of a file", () => {
  const handle = open("one", 2 | 8);
  expect(status(requestTypes.write, (w) => named(w, handle).u64(2).bytes(text("cde")))).toBe("ok");
  expect(status(requestTypes.write, (w) => named(w, handle).u64(0).bytes(text("ab")))).toBe("ok");
  expect(status(requestTypes.close, (w) => named(w, handle))).toBe("ok");
  const again = open("one", 1);
  expect(read(again, 1, 3)).toBe("bcd");
  expect(status(requestTypes.read, (w) => named(w, again).u64(5).u32(10))).toBe("endOfFile");
  expect(status(requestTypes.write, (w) => named(w, again).u64(0).bytes(text("x")))).toBe(
    "failure",
  );
});

test("appends wherever the client thinks that the end is", () => {
  writeFileSync(join(home, "log"), "first ");
  const handle = open("log", 2 | 4);
  status(requestTypes.write, (w) => named(w, handle).u64(0).bytes(text("second")));
  expect(readFileSync(join(home, "log"), "utf8")).toBe("first second");
});

test("a rename never replaces, but the one that is meant to does", () => {
  writeFileSync(join(home, "a"), "a");
  writeFileSync(join(home, "b"), "b");
  expect(status(requestTypes.rename, (w) => named(named(w, "a"), "b"))).toBe("failure");
  expect(status(requestTypes.rename, (w) => named(named(w, "a"), "c"))).toBe("ok");
  expect(
    status(requestTypes.extended, (w) =>
      named(named(named(w, "posix-rename@openssh.com"), "c"), "b"),
    ),
  ).toBe("ok");
  expect(readFileSync(join(home, "b"), "utf8")).toBe("a");
  expect(existsSync(join(home, "c"))).toBe(false);
});

test("sets size, mode and times, of a link's target or of the link itself", () => {
  writeFileSync(join(home, "file"), "12345");
  symlinkSync("file", join(home, "link"));
  expect(
    status(requestTypes.setstat, (w) =>
      named(w, "link")
        .u32(1 | 4 | 8)
        .u64(3)
        .u32(0o640)
        .u32(1000)
        .u32(2000),
    ),
  ).toBe("ok");
  const { size, mode, mtimeMs } = statSync(join(home, "file"));
  expect([size, mode & 0o777, mtimeMs]).toEqual([3, 0o640, 2_000_000]);
  expect(
    status(requestTypes.extended, (w) =>
      named(named(w, "lsetstat@openssh.com"), "link").u32(8).u32(1).u32(7),
    ),
  ).toBe("ok");
  expect(lstatSync(join(home, "link")).mtimeMs).toBe(7000);
  expect(statSync(join(home, "file")).mtimeMs).toBe(2_000_000);
});

test("lists a folder in parts until there is no more", () => {
  mkdirSync(join(home, "many"));
  const names = Array.from({ length: 2 * sftpLimits.listedMax }, (_, index) => `f${index}`);
  for (const name of names) writeFileSync(join(home, "many", name), "");
  const handle = handleOf(ask(requestTypes.opendir, (w) => named(w, "many")));
  const listed: string[] = [];
  for (;;) {
    const reply = ask(requestTypes.readdir, (w) => named(w, handle));
    if (reply.type === replyTypes.status) break;
    const count = reply.reader.u32();
    expect(count).toBeLessThanOrEqual(sftpLimits.listedMax);
    for (let left = count; left > 0; left--) {
      listed.push(readString(reply.reader).toString());
      readString(reply.reader);
      reply.reader.bytes(32);
    }
  }
  expect(listed.toSorted()).toEqual([".", "..", ...names].toSorted());
});

test("a listing names owners as the guest knows them, by number where it does not", () => {
  const owners = {
    users: namesByNumber("root:x:0:0::/:\nme:x:4242:1::/:\nagain:x:4242:1::/:\n"),
    groups: namesByNumber("bad\u001bname:x:0:\n: :1\nus:x:4243:\nno:x:-1:\n"),
  };
  const lines = [
    [4242, 4243],
    [0, 0],
    [7, 7],
  ].map(([uid = 0, gid = 0]) => {
    const stats = { mode: 0o100640, nlink: 1, uid, gid, size: 5, mtimeMs: 0 } as Stats;
    return longName(Buffer.from("file"), stats, { owners, nowMs: 0 }).toString();
  });
  expect(lines).toEqual([
    "-rw-r-----    1 me       us              5 Jan  1 00:00 file",
    "-rw-r-----    1 root     0               5 Jan  1 00:00 file",
    "-rw-r-----    1 7        7               5 Jan  1 00:00 file",
  ]);
});

test("a listing has the clock of what is new and the year of what is old or still to come", () => {
  const nowMs = Date.UTC(2026, 10, 28);
  const owners = { users: new Map<number, string>(), groups: new Map<number, string>() };
  const timeIn = (mtimeMs: number): string => {
    const stats = { mode: 0o100644, nlink: 1, uid: 0, gid: 0, size: 0, mtimeMs } as Stats;
    return longName(Buffer.from("f"), stats, { owners, nowMs }).toString().slice(-14, -2);
  };
  expect(timeIn(nowMs)).toBe("Nov 28 00:00");
  expect(timeIn(Date.UTC(2026, 6, 9, 10, 5))).toBe("Jul  9 10:05");
  expect(timeIn(Date.UTC(2021, 3, 10, 20))).toBe("Apr 10  2021");
  expect(timeIn(Date.UTC(2031, 0, 1))).toBe("Jan  1  2031");
});

test("finds out where a name leads as the system does", () => {
  mkdirSync(join(home, "x/y"), { recursive: true });
  symlinkSync("x/y", join(home, "short"));
  symlinkSync(join(home, "short"), join(home, "x/y/up"));
  for (const name of [".", "short", "x/y/up/..", "short/up", "/", "x/./../short"])
    expect(pathOf(name)).toBe(realPath(name.startsWith("/") ? name : `${home}/${name}`));
  expect(pathOf("short/new")).toBe(join(realPath(home), "x/y/new"));
  expect(status(requestTypes.realpath, (w) => named(w, "missing/new"))).toBe("noSuchFile");
  symlinkSync("loop", join(home, "loop"));
  expect(status(requestTypes.realpath, (w) => named(w, "loop"))).toBe("failure");
  for (let link = 0; link <= linksMax; link++)
    symlinkSync(`chain${link - 1}`, join(home, `chain${link}`));
  writeFileSync(join(home, "chain-1"), "");
  expect(pathOf(`chain${linksMax - 1}`)).toBe(join(realPath(home), "chain-1"));
  expect(status(requestTypes.realpath, (w) => named(w, `chain${linksMax}`))).toBe("failure");
});

test("opens no more files than the limit, and knows no handle of others", () => {
  writeFileSync(join(home, "f"), "");
  const first = open("f", 1);
  for (let count = 1; count < sftpLimits.handlesMax; count++) open("f", 1);
  expect(status(requestTypes.open, (w) => named(w, "f").u32(1).u32(0))).toBe("failure");
  expect(status(requestTypes.close, (w) => named(w, first))).toBe("ok");
  expect(status(requestTypes.close, (w) => named(w, first))).toBe("failure");
  expect(status(requestTypes.close, (w) => named(w, "odd"))).toBe("failure");
  open("f", 1);
});

test("a pipe does not hold it up", () => {
  Bun.spawnSync(["mkfifo", join(home, "pipe")]);
  const handle = open("pipe", 1);
  expect(status(requestTypes.read, (w) => named(w, handle).u64(0).u32(1))).not.toBe("ok");
  status(requestTypes.close, (w) => named(w, handle));
  expect(status(requestTypes.open, (w) => named(w, "pipe").u32(2).u32(0))).toBe("failure");
});

test("no bytes make it throw but those without an id", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 5, maxLength: 60 }), (bytes) => {
      // Nothing that changes files outside of this test's folder: names are never absolute here.
      const request = bytes.map((byte) => (byte === 0x2f ? 0x2e : byte));
      expect(server.answer(request).length).toBeGreaterThan(8);
    }),
    seeded(2000),
  );
  expect(() => server.answer(Uint8Array.of(3, 0))).toThrow(WireError);
});

test("packets come out whole, however they are cut, and none above the limit", () => {
  const packets = new SftpPackets();
  const stream = Buffer.from([0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]);
  const found: number[][] = [];
  for (const byte of stream) {
    packets.feed(Uint8Array.of(byte));
    for (let one = packets.next(); one !== undefined; one = packets.next()) found.push([...one]);
  }
  expect(found).toEqual([[7, 8], [9]]);
  packets.feed(new Writer(4).u32(sftpLimits.packetBytesMax + 1).finish());
  expect(() => packets.next()).toThrow(WireError);
});

test("a read brings no more than fits into a packet", () => {
  writeFileSync(join(home, "large"), Buffer.alloc(2 * sftpLimits.dataBytesMax));
  expect(read(open("large", 1), 0, 0xffff_ffff)).toHaveLength(sftpLimits.dataBytesMax);
});

/** Bun's own takes `..` away before it looks at links. */
function realPath(path: string): string {
  return Bun.spawnSync(["realpath", path]).stdout.toString().trim();
}

interface Reply {
  readonly type: number;
  readonly reader: Reader;
}

function ask(type: number, write: (writer: Writer) => Writer): Reply {
  const body = write(new Writer().u8(type).u32(77)).finish();
  const reader = new Reader(server.answer(body), "reply");
  reader.u32();
  const replyType = reader.u8();
  expect(reader.u32()).toBe(77);
  return { type: replyType, reader };
}

function status(type: number, write: (writer: Writer) => Writer): string {
  const reply = ask(type, write);
  if (reply.type !== replyTypes.status) return `reply ${reply.type}`;
  const number = reply.reader.u32();
  return Object.entries(statuses).find(([, value]) => value === number)?.[0] ?? String(number);
}

function open(name: string, flags: number): Buffer {
  return handleOf(ask(requestTypes.open, (w) => named(w, name).u32(flags).u32(0)));
}

function handleOf({ type, reader }: Reply): Buffer {
  expect(type).toBe(replyTypes.handle);
  return Buffer.from(readString(reader));
}

function read(handle: Buffer, offset: number, length: number): string {
  const { reader } = ask(requestTypes.read, (w) => named(w, handle).u64(offset).u32(length));
  return readString(reader).toString("latin1");
}

function pathOf(name: string): string {
  const { reader } = ask(requestTypes.realpath, (w) => named(w, name));
  reader.u32();
  return readString(reader).toString();
}

function named(writer: Writer, name: string | Uint8Array): Writer {
  return writeString(writer, name);
}

function text(value: string): Uint8Array {
  return writeString(new Writer(), value).finish();
}
