import { expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import type { FileMessage } from "../../../src/protocol/file-message.ts";
import { type CopyObserver, nobody } from "../../../src/system/copy/copy-peer.ts";
import { mount, mountFlags, unmountLazily } from "../../../src/system/mount.ts";
import { randomBytes, seeded, seededRandom } from "../../support/seed.ts";
import { CopyStage, runPair } from "./copy-pair.ts";

setDefaultTimeout(120_000);

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

test("a source that need not say digests does where a file is put together, and a sink has its own", () => {
  using stage = new CopyStage();
  const content = bytes(400_000);
  writeFileSync(stage.from, content);
  const said: FileMessage[] = [];
  const digests: (Uint8Array | undefined)[] = [];
  const copy = (): void => {
    const observer = {
      ...nobody,
      settled: (...[, , , sha256]: Parameters<CopyObserver["settled"]>) => digests.push(sha256),
    };
    runPair(
      stage.source({ digests: false }),
      stage.sink({ showsDigests: true, observer }),
      (message) => {
        if (message.type === "end") said.push(message);
        return false;
      },
    );
  };
  copy();
  expect(said).toMatchObject([{ size: content.length, sha256: undefined }]);
  writeFileSync(stage.to, Buffer.concat([Buffer.from("old"), content]));
  copy();
  const sha256 = createHash("sha256").update(content).digest();
  expect(said[1]).toMatchObject({ size: content.length, sha256: new Uint8Array(sha256) });
  expect(digests.map((one) => Buffer.from(one ?? []))).toEqual([sha256, sha256]);
  expect(readFileSync(stage.to).equals(content)).toBe(true);
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

test("what an earlier copy left is gone on with beside a file of the same size", () => {
  const fresh = bytes(2_000_000);
  // The left beginning with the end of the file there is all of the new one, or not.
  for (const differing of [300_000, 800_000]) {
    using stage = new CopyStage();
    writeFileSync(stage.from, fresh);
    writeFileSync(stage.to, Buffer.concat([bytes(differing, 9), fresh.subarray(differing)]));
    writeFileSync(join(stage.folder, ".to.part"), fresh.subarray(0, 500_000));
    runPair(stage.source(), stage.sink());
    expect([stage.settled, stage.failed]).toEqual([[`written ${stage.to}`], []]);
    expect(readFileSync(stage.to).equals(fresh)).toBe(true);
    expect(readdirSync(stage.folder).toSorted()).toEqual(["from", "to"]);
  }
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

test("of two sources of one name the second is refused, and does not replace the first", () => {
  using stage = new CopyStage();
  for (const name of ["a/x", "b/x", "a/d/1", "b/d/2"]) {
    mkdirSync(join(stage.from, name, ".."), { recursive: true });
    writeFileSync(join(stage.from, name), name);
  }
  mkdirSync(stage.to);
  const at = (...names: string[]): Buffer[] =>
    names.map((name) => Buffer.from(join(stage.from, name)));
  // What is named twice is no second source.
  const sources = at("a/x", "a/x", "b/x", "a/d", "b/d");
  runPair(stage.source({ sources }), stage.sink());
  expect(readFileSync(join(stage.to, "x"), "utf8")).toBe("a/x");
  expect(readdirSync(join(stage.to, "d")).toSorted()).toEqual(["1", "2"]);
  expect(stage.failed).toEqual([
    `in-the-way ${stage.to}/x: another of the sources has that name there, and was copied first`,
  ]);
});

test("a source that is a link to itself is not taken for something in the way", () => {
  using stage = new CopyStage();
  symlinkSync("from", stage.from);
  runPair(stage.source({ recursive: false }), stage.sink());
  expect(stage.failed).toEqual([`missing ${stage.from}: a link that leads back to itself`]);
});

test("a pattern that leads to several does not make them one file", () => {
  using stage = new CopyStage();
  mkdirSync(join(stage.from, "d"), { recursive: true });
  for (const name of ["a", "b", "d/c"]) writeFileSync(join(stage.from, name), name);
  const sources = [Buffer.from(join(stage.from, "*"))];
  runPair(stage.source({ sources, glob: true }), stage.sink());
  expect(readFileSync(stage.to, "utf8")).toBe("a");
  expect(stage.failed).toHaveLength(2);
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
