import { expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ProtocolError } from "../../../src/protocol/errors.ts";
import type { FileEntry, FileMessage } from "../../../src/protocol/file-frame.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { copyLimits } from "../../../src/system/copy/copy-limits.ts";
import type { TreeSink } from "../../../src/system/copy/tree-sink.ts";
import { mount, mountFlags, unmountLazily } from "../../../src/system/mount.ts";
import { randomBytes, seeded, seededRandom } from "../../support/seed.ts";
import { CopyStage, runPair } from "./copy-pair.ts";

setDefaultTimeout(30_000);

const bytes = (length: number, seed = 1): Buffer =>
  Buffer.from(randomBytes(seededRandom(seed), length));

test("any change of a file arrives, and what stays costs little", () => {
  using stage = new CopyStage();
  const before = bytes(1_500_000);
  fc.assert(
    fc.property(
      fc.nat(1_500_000),
      fc.nat(2000),
      fc.uint8Array({ maxLength: 2000 }),
      (at, gone, put) => {
        const changed = Buffer.concat([before.subarray(0, at), put, before.subarray(at + gone)]);
        writeFileSync(stage.from, changed);
        writeFileSync(stage.to, before);
        stage.sentBytes = 0;
        runPair(stage.source(), stage.sink());
        expect(readFileSync(stage.to).equals(changed)).toBe(true);
        expect(stage.sentBytes).toBeLessThan(300_000);
      },
    ),
    seeded(15),
  );
  expect(stage.failed).toEqual([]);
});

test("a large file that is there already is compared by one digest, and cut only if it differs", () => {
  const before = bytes(400_000);
  const other = Buffer.from(before).fill("changed", 200_000, 200_100);
  const grown = Buffer.concat([before, bytes(70_000, 2)]);
  const messagesFor = (now: Buffer, then: Buffer = now, turns?: number): string[] => {
    using stage = new CopyStage();
    writeFileSync(stage.from, now);
    writeFileSync(stage.to, before);
    const seen: string[] = [];
    const see = ({ type }: FileMessage): boolean => {
      if (type === "entry") writeFileSync(stage.from, then);
      if (seen.at(-1) !== type) seen.push(type);
      return false;
    };
    runPair(stage.source(), stage.sink(), see, turns);
    expect(stage.failed).toEqual([]);
    expect(readFileSync(stage.to).equals(then)).toBe(true);
    expect(stage.sentBytes).toBeLessThan(200_000);
    return seen;
  };
  const same = ["want", "start", "end", "done", "finished"];
  expect(messagesFor(before).filter((type) => same.includes(type) || type === "chunks")).toEqual(
    same,
  );
  expect(messagesFor(other).filter((type) => ["want", "start", "chunks"].includes(type))).toEqual([
    "want",
    "start",
    "chunks",
    "want",
    "start",
  ]);
  expect(messagesFor(other, other, 1)).toContain("chunks");
  // It may grow in between, and shrink.
  expect(messagesFor(before, grown)).toContain("content");
  messagesFor(before, before.subarray(0, 300_000));
});

test("broken off anywhere, the next copy goes on and the file is whole", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.boolean(), fc.constantFrom(1, 2, 40), (messages, isThere, turns) => {
      using stage = new CopyStage();
      const content = bytes(1_500_000);
      writeFileSync(stage.from, content);
      if (isThere) writeFileSync(stage.to, bytes(1_000_000, 2));
      const [source, sink] = [stage.source(), stage.sink()];
      let count = 0;
      runPair(source, sink, () => (count += 1) > messages, turns);
      source.close();
      sink.close();
      const before = stage.sentBytes;
      runPair(stage.source(), stage.sink());
      expect(readFileSync(stage.to).equals(content)).toBe(true);
      expect(stage.sentBytes).toBe(Math.max(before, content.length));
      expect(readdirSync(stage.folder).toSorted()).toEqual(["from", "to"]);
    }),
    seeded(20),
  );
});

test("names that are no text, long ones and many", () => {
  using stage = new CopyStage();
  mkdirSync(stage.from);
  const odd = Buffer.concat([
    Buffer.from(`${stage.from}/odd-`),
    Buffer.from([0xff, 0xfe, 0x0a, 0x1b]),
  ]);
  writeFileSync(odd, "odd");
  writeFileSync(join(stage.from, "n".repeat(255)), bytes(2_000_000));
  for (let index = 0; index < 700; index++)
    writeFileSync(join(stage.from, `f${index}`), `${index}`);
  const [source, sink] = [stage.source(), stage.sink()];
  runPair(source, sink);
  expect([source.over, sink.over]).toEqual([true, true]);
  expect(stage.failed).toEqual([]);
  expect(hexNames(stage.to)).toEqual(hexNames(stage.from));
  expect(readFileSync(join(stage.to, "f699"), "utf8")).toBe("699");
});

test("a file that is written to while it is read is not taken for whole", () => {
  using stage = new CopyStage();
  writeFileSync(stage.from, bytes(1_000_000));
  writeFileSync(stage.to, "before");
  let isChanged = false;
  const source = stage.source({ observer: stage.observer() });
  runPair(source, stage.sink(), (message) => {
    if (message.type === "content" && !isChanged) appendFileSync(stage.from, "more");
    isChanged ||= message.type === "content";
    return false;
  });
  expect(stage.failed).toContain(`changed ${stage.from}: changed while it was being read`);
  expect(readFileSync(stage.to, "utf8")).toBe("before");
});

test("a full disk is said with the path, what was there stays, and the others go on", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  mount({
    source: "small",
    target: stage.to,
    type: "tmpfs",
    flags: mountFlags.noDevices,
    data: "size=2m",
  });
  try {
    mkdirSync(stage.from);
    writeFileSync(join(stage.from, "a-large"), bytes(4_000_000));
    writeFileSync(join(stage.from, "b-small"), "small");
    writeFileSync(join(stage.to, "a-large"), "before");
    runPair(stage.source({ sources: [Buffer.from(`${stage.from}/.`)] }), stage.sink());
    expect(stage.failed).toEqual([`full ${stage.to}/a-large: no space left on the disk`]);
    expect(readFileSync(join(stage.to, "a-large"), "utf8")).toBe("before");
    expect(stage.settled.some((line) => line.endsWith("b-small"))).toBe(true);
  } finally {
    unmountLazily(stage.to);
  }
});

test("pipes and sockets are passed over, links are not followed", () => {
  using stage = new CopyStage();
  mkdirSync(stage.from);
  Bun.spawnSync(["mkfifo", join(stage.from, "pipe")]);
  symlinkSync("/etc/passwd", join(stage.from, "link"));
  writeFileSync(join(stage.from, "x"), "x");
  const source = stage.source({ observer: stage.observer() });
  runPair(source, stage.sink());
  expect(stage.failed.filter((line) => line.startsWith("special"))).not.toEqual([]);
  expect(lstatSync(join(stage.to, "link")).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(stage.to, "x"), "utf8")).toBe("x");
});

test("a device or a pipe that is there is not replaced by a file or a link", () => {
  using stage = new CopyStage();
  mkdirSync(stage.from);
  mkdirSync(stage.to);
  writeFileSync(join(stage.from, "file"), "content");
  symlinkSync("nowhere", join(stage.from, "link"));
  for (const name of ["file", "link"]) Bun.spawnSync(["mkfifo", join(stage.to, name)]);
  runPair(stage.source({ sources: [Buffer.from(`${stage.from}/.`)] }), stage.sink());
  expect(stage.failed).toEqual(
    ["file", "link"].map(
      (name) => `in-the-way ${stage.to}/${name}: a device, pipe or socket of that name is there`,
    ),
  );
  expect(["file", "link"].map((name) => lstatSync(join(stage.to, name)).isFIFO())).toEqual([
    true,
    true,
  ]);
});

test("a copy that is broken off, and closed twice, holds no descriptor and closes no other", () => {
  using stage = new CopyStage();
  const sink = stage.sink();
  const before = descriptorsIn(stage.folder);
  const broken = stage.sink();
  broken.receive(folder(1, 0, "a"));
  broken.receive(folder(2, 1, "b"));
  broken.receive(folder(3, 2, "c"));
  broken.receive(file(4, 3, "wished"));
  drain(broken);
  broken.receive({ type: "leave", id: 3 });
  expect(descriptorsIn(stage.folder)).toBeGreaterThan(before);
  broken.close();
  expect(descriptorsIn(stage.folder)).toBe(before);
  broken.close();
  sink.close();
  mkdirSync(join(stage.from, "a/b"), { recursive: true });
  for (const name of ["x", "a/y", "a/b/z"]) writeFileSync(join(stage.from, name), bytes(200_000));
  for (const messages of [1, 3, 5, 7, 9, Infinity]) {
    const [source, other] = [
      stage.source(),
      stage.sink({ destination: Buffer.from(stage.folder) }),
    ];
    let count = 0;
    runPair(source, other, () => (count += 1) > messages);
    for (const peer of [source, other, source, other]) peer.close();
  }
  expect(descriptorsIn(stage.folder)).toBe(before - 1);
  expect(stage.failed).toEqual([]);
});

function descriptorsIn(path: string): number {
  const leadIn = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc/self/fd").filter(leadIn).length;
}

test("a folder that becomes a link while it is read leads nowhere", () => {
  for (const moment of ["entry", "start"] as const)
    for (const size of [10, 200_000]) {
      using stage = new CopyStage();
      const [inside, secrets] = [join(stage.from, "a/b"), join(stage.folder, "secrets")];
      mkdirSync(inside, { recursive: true });
      mkdirSync(secrets);
      writeFileSync(join(inside, "f"), bytes(size));
      writeFileSync(join(inside, "g"), bytes(size));
      for (const name of ["f", "g"]) writeFileSync(join(secrets, name), bytes(size, 2));
      let entries = 0;
      runPair(stage.source(), stage.sink(), (message) => {
        if (message.type === "entry") entries += 1;
        // The third is "b", of which the names have been read.
        if (message.type !== moment || entries < 3 || existsSync(`${inside}-away`)) return false;
        renameSync(inside, `${inside}-away`);
        symlinkSync(secrets, inside);
        return false;
      });
      for (const name of ["f", "g"]) {
        const copied = join(stage.to, "a/b", name);
        if (existsSync(copied)) expect(readFileSync(copied).equals(bytes(size))).toBe(true);
      }
      expect(existsSync(`${inside}-away`)).toBe(true);
    }
});

/** What a machine says that means harm. */
const folder = (id: number, parent: number, name: string): FileMessage =>
  entry(id, parent, name, "folder");
const file = (id: number, parent: number, name: string): FileMessage =>
  entry(id, parent, name, "file");

function entry(id: number, parent: number, name: string, kind: FileEntry["kind"]): FileMessage {
  const facts = { mode: 0o6755, seconds: 0, nanoseconds: 0, size: 0, digest: undefined };
  const target = Buffer.from(kind === "link" ? "/tmp" : "");
  return { type: "entry", entry: { id, parent, kind, name: Buffer.from(name), target, ...facts } };
}

function drain(sink: TreeSink): FileMessage[] {
  const said: FileMessage[] = [];
  for (let message = sink.next(); message !== undefined; message = sink.next())
    if (message !== "working") said.push(message);
  return said;
}

test("a link that is planted first is not gone through", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const sink = stage.sink();
  sink.receive(entry(1, 0, "tree", "link"));
  drain(sink);
  sink.receive(folder(2, 0, "tree"));
  sink.receive(file(3, 2, "planted"));
  const said = drain(sink);
  expect(said).toContainEqual(
    expect.objectContaining({ type: "failed", id: 2, code: "in-the-way" }),
  );
  expect(said).toContainEqual({ type: "done", id: 3, outcome: "skipped" });
  expect(existsSync("/tmp/planted")).toBe(false);
  sink.close();
});

test("what was left by an earlier copy must be a file of its own", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const precious = join(stage.folder, "precious");
  writeFileSync(precious, bytes(2_000_000));
  symlinkSync(precious, join(stage.to, ".big.part"));
  linkSync(precious, join(stage.to, ".second.part"));
  mkdirSync(stage.from);
  for (const name of ["big", "second"]) writeFileSync(join(stage.from, name), bytes(3_000_000, 3));
  runPair(stage.source({ sources: [Buffer.from(`${stage.from}/.`)] }), stage.sink());
  expect(stage.failed).toHaveLength(2);
  expect(readFileSync(precious).equals(bytes(2_000_000))).toBe(true);
});

test("a machine cannot choose what is written, set a user's id, or say things out of turn", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const wrongs: readonly (readonly FileMessage[])[] = [
    [file(1, 0, ".bashrc")],
    [file(1, 9, "asked")],
    [file(2, 0, "asked"), file(1, 0, "asked")],
    [file(1, 0, "asked"), { type: "content", id: 1, offset: 0, bytes: Buffer.from("abc") }],
    [{ type: "end", id: 1, size: 0, sha256: Buffer.alloc(32) }],
    [folder(1, 0, "asked"), { type: "all" }],
    [{ type: "leave", id: 5 }],
    [{ type: "finished" }],
  ];
  for (const messages of wrongs) {
    const sink = stage.sink({
      isAskedFor: ({ name }) => Buffer.from(name).equals(Buffer.from("asked")),
    });
    expect(() => messages.forEach((message) => sink.receive(message))).toThrow(ProtocolError);
    sink.close();
  }
  const sink = stage.sink({ preserve: true });
  sink.receive(file(1, 0, "tool"));
  expect(drain(sink).at(-1)).toMatchObject({ type: "want", id: 1, offset: 0 });
  sink.receive({ type: "start", id: 1, offset: 0 });
  sink.receive({ type: "end", id: 1, size: 0, sha256: new Bun.CryptoHasher("sha256").digest() });
  expect(statSync(join(stage.to, "tool")).mode & 0o7777).toBe(0o755);
});

test("what is announced, wished for and held open has an end", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const names = stage.sink();
  expect(() => {
    for (let id = 1; id <= limits.fileWindow + 2; id++) names.receive(file(id, 0, `f${id}`));
  }).toThrow("More names at once");
  names.close();
  const folders = stage.sink();
  expect(() => {
    for (let id = 1; id <= copyLimits.foldersOpenMax + 1; id++)
      folders.receive(folder(id, id - 1, "d"));
  }).toThrow("Too many folders");
  folders.close();
  writeFileSync(stage.from, bytes(200_000));
  const source = stage.source();
  while (source.next() !== undefined);
  const chunks = Array.from({ length: limits.fileChunksPerFrameMax }, () => ({
    length: 1,
    digest: Buffer.alloc(16),
  }));
  expect(() => {
    for (let sent = 0; sent <= limits.fileChunksMax; sent += chunks.length)
      source.receive({ type: "chunks", id: 1, chunks });
  }).toThrow("More chunks");
  source.close();
});

test("content that is not what its digest says is thrown away", () => {
  using stage = new CopyStage();
  writeFileSync(stage.to, "before");
  const sink = stage.sink();
  sink.receive(file(1, 0, "from"));
  drain(sink);
  sink.receive({ type: "start", id: 1, offset: 0 });
  sink.receive({ type: "content", id: 1, offset: 0, bytes: Buffer.from("abc") });
  sink.receive({ type: "end", id: 1, size: 3, sha256: Buffer.alloc(32) });
  expect(drain(sink)).toContainEqual(expect.objectContaining({ type: "failed", code: "corrupt" }));
  expect(readFileSync(stage.to, "utf8")).toBe("before");
  expect(readdirSync(stage.folder)).toEqual(["to"]);
  sink.close();
});

test("a copy that another is still at is waited for, and then taken over", () => {
  using stage = new CopyStage();
  const content = bytes(3_000_000);
  writeFileSync(stage.from, content);
  const [source, sink] = [stage.source(), stage.sink()];
  let count = 0;
  runPair(source, sink, (message) => message.type === "content" && (count += 1) > 20);
  const next = stage.sink();
  let looks = 0;
  const waiting = stage.source();
  runPair(waiting, next, () => {
    looks += 1;
    if (looks === 2) sink.close();
    return false;
  });
  source.close();
  expect(stage.failed).toEqual([]);
  expect(readFileSync(stage.to).equals(content)).toBe(true);
  expect(stage.sentBytes).toBe(content.length);
});

function hexNames(path: string): string[] {
  const names = readdirSync(path, { encoding: "buffer" });
  return names.map((name) => name.toString("hex")).toSorted();
}
