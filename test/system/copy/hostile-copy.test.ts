import { expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { FileMessage } from "../../../src/protocol/file-message.ts";
import { ProtocolError } from "../../../src/protocol/errors.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { copyLimits } from "../../../src/system/copy/copy-limits.ts";
import { randomBytes, seededRandom } from "../../support/seed.ts";
import { CopyStage, runPair } from "./copy-pair.ts";
import { drain, entry, file, folder, sized, small } from "./said.ts";

setDefaultTimeout(120_000);

const bytes = (length: number, seed = 1): Buffer =>
  Buffer.from(randomBytes(seededRandom(seed), length));

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
        const isMoment =
          message.type === moment || (moment === "start" && message.type === "whole");
        // The third is "b", of which the names have been read.
        if (!isMoment || entries < 3 || existsSync(`${inside}-away`)) return false;
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
    [{ type: "end", id: 1, size: 0, crc32: 0, sha256: Buffer.alloc(32) }],
    [file(1, 0, "asked"), { type: "whole", id: 1, crc32: 0, bytes: Buffer.alloc(0) }],
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
  sink.receive({ type: "end", id: 1, size: 0, crc32: 0, sha256: Buffer.alloc(32) });
  expect(statSync(join(stage.to, "tool")).mode & 0o7777).toBe(0o755);
});

test("a file gets its mode when it is whole, whoever left its beginning", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const sink = stage.sink({ preserve: true, modeMask: 0o7777 });
  const [left, large] = [join(stage.to, ".large.part"), join(stage.to, "large")];
  sink.receive(sized(1, "tool", 3));
  sink.receive(sized(2, "large", copyLimits.resumeBytesMin, 0o600));
  drain(sink);
  sink.receive({ type: "start", id: 1, offset: 0 });
  sink.receive({ type: "content", id: 1, offset: 0, bytes: Buffer.from("abc") });
  const [part = ""] = readdirSync(stage.to);
  // By writing it would lose its bits for whoever is not root.
  expect(statSync(join(stage.to, part)).mode & 0o7777).toBe(0o600);
  const end = { type: "end", sha256: Buffer.alloc(32) } as const;
  sink.receive({ ...end, id: 1, size: 3, crc32: crc32("abc") });
  expect(statSync(join(stage.to, "tool")).mode & 0o7777).toBe(0o6755);
  // After the look at what there is.
  writeFileSync(left, "");
  chmodSync(left, 0o666);
  sink.receive({ type: "start", id: 2, offset: 0 });
  sink.receive({ type: "content", id: 2, offset: 0, bytes: Buffer.from("abc") });
  sink.receive({ ...end, id: 2, size: 3, crc32: crc32("abc") });
  expect(statSync(large).mode & 0o7777).toBe(0o600);
  sink.close();
});

test("what comes from a vault is no setuid program, whatever it replaces", () => {
  using stage = new CopyStage();
  writeFileSync(stage.from, "new");
  writeFileSync(stage.to, "old");
  chmodSync(stage.to, 0o6755);
  runPair(stage.source(), stage.sink());
  expect(readFileSync(stage.to, "utf8")).toBe("new");
  expect(statSync(stage.to).mode & 0o7777).toBe(0o755);
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

test("what is refused again and again has an end where no answer is taken", () => {
  using stage = new CopyStage();
  mkdirSync(stage.to);
  const names = stage.sink();
  expect(() => {
    for (let id = 1; id < 2 * copyLimits.answersWaitingMax; id++) names.receive(file(id, 0, "x"));
  }).toThrow("More is announced than answers are taken");
  names.close();
  const folders = stage.sink({ destination: Buffer.from(join(stage.to, "nowhere/at/all")) });
  expect(() => {
    for (let id = 1; id < 2 * copyLimits.answersWaitingMax; id++) {
      folders.receive(folder(id, 0, `d${id}`));
      folders.receive({ type: "leave", id });
    }
  }).toThrow("More is announced than answers are taken");
  folders.close();
});

test("content that is not what its checksum says is thrown away", () => {
  using stage = new CopyStage();
  writeFileSync(stage.to, "before");
  const abc = { id: 1, crc32: 1, bytes: Buffer.from("abc") } as const;
  for (const messages of waysToSend(abc)) {
    const sink = stage.sink();
    sink.receive(small(1, "from", 3));
    drain(sink);
    for (const message of messages) sink.receive(message);
    expect(drain(sink)).toContainEqual(
      expect.objectContaining({ type: "failed", code: "corrupt" }),
    );
    expect(readFileSync(stage.to, "utf8")).toBe("before");
    expect(readdirSync(stage.folder)).toEqual(["to"]);
    sink.close();
  }
});

test("a file that is refused behind its end is not refused again", () => {
  for (const [size, digests] of [
    [3, true],
    [200_000, true],
    [200_000, false],
  ] as const) {
    using stage = new CopyStage();
    writeFileSync(stage.from, bytes(size));
    const source = stage.source({ digests });
    const failure = { id: 1, code: "corrupt", message: "wrong" } as const;
    while (source.next() !== undefined);
    source.receive({ type: "want", id: 1, offset: 0, sha256: undefined, averageBits: 0 });
    for (let message = source.next(); message !== undefined; message = source.next())
      if (message !== "working" && (message.type === "end" || message.type === "whole")) break;
    source.receive({ type: "failed", ...failure });
    expect(source.next()).toBeUndefined();
    source.close();
  }
});

test("a digest that is shown is that of what came", () => {
  using stage = new CopyStage();
  const abc = { id: 1, crc32: crc32("abc"), bytes: Buffer.from("abc") } as const;
  for (const messages of waysToSend(abc)) {
    const sink = stage.sink({ showsDigests: true });
    sink.receive(small(1, "from", 3));
    drain(sink);
    for (const message of messages) sink.receive(message);
    expect(drain(sink)).toContainEqual(
      expect.objectContaining({ type: "failed", code: "corrupt" }),
    );
    expect(readdirSync(stage.folder)).toEqual([]);
    sink.close();
  }
});

test.each([
  ["is what its digest says, or thrown away", Buffer.alloc(32)],
  ["has a digest", undefined],
])("a file that is put together %s", (_what, sha256) => {
  using stage = new CopyStage();
  const before = bytes(300_000);
  writeFileSync(stage.to, before);
  writeFileSync(stage.from, Buffer.concat([Buffer.from("new"), before]));
  const [source, sink] = [stage.source(), stage.sink()];
  const run = (): void =>
    runPair(
      {
        over: false,
        close: () => source.close(),
        receive: (said) => source.receive(said),
        next: () => {
          const message = source.next();
          const isEnd = message !== undefined && message !== "working" && message.type === "end";
          return isEnd ? { ...message, sha256 } : message;
        },
      },
      sink,
    );
  if (sha256 === undefined) expect(run).toThrow(ProtocolError);
  else run();
  expect(stage.failed).toEqual(sha256 === undefined ? [] : [expect.stringContaining("corrupt")]);
  sink.close();
  expect(readFileSync(stage.to).equals(before)).toBe(true);
  expect(readdirSync(stage.folder).toSorted()).toEqual(["from", "to"]);
});

test("the whole of a small file is as long as was announced", () => {
  using stage = new CopyStage();
  const sink = stage.sink();
  sink.receive(small(1, "from", 3));
  drain(sink);
  expect(() => {
    sink.receive({ type: "whole", id: 1, crc32: 0, bytes: Buffer.from("abcd") });
  }).toThrow(ProtocolError);
  sink.close();
});

/** A file of three bytes in frames, and in one. */
function waysToSend(
  abc: Readonly<{ id: number; crc32: number; bytes: Buffer }>,
): readonly (readonly FileMessage[])[] {
  return [
    [
      { type: "start", id: 1, offset: 0 },
      { type: "content", offset: 0, ...abc },
      { type: "end", size: 3, sha256: Buffer.alloc(32), ...abc },
    ],
    [{ type: "whole", ...abc }],
  ];
}
