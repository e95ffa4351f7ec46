import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ProtocolError } from "../../../src/protocol/errors.ts";
import type { FileMessage } from "../../../src/protocol/file-message.ts";
import { CopyStage, descriptorsIn, runPair } from "./copy-pair.ts";
import { drain, file, folder, sized, small } from "./said.ts";

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
  for (const name of ["x", "a/y", "a/b/z"])
    writeFileSync(join(stage.from, name), Buffer.alloc(200_000, 1));
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

test("a copy that is broken off while it reads what is there holds no descriptor", () => {
  using stage = new CopyStage();
  writeFileSync(stage.to, Buffer.alloc(2_000_000, 1));
  const sink = stage.sink();
  sink.receive(sized(1, "to", 2_000_000));
  expect(sink.next()).toBe("working");
  sink.close();
  expect(descriptorsIn(stage.folder)).toBe(0);
});

test("who says things out of turn leaves no half file and no descriptor", () => {
  const abc = { id: 1, crc32: crc32("abc"), bytes: Buffer.from("abc") } as const;
  const wrongs: readonly FileMessage[] = [
    { type: "content", offset: 0, ...abc },
    { type: "whole", ...abc },
    { type: "end", size: 4, sha256: Buffer.alloc(32), ...abc },
  ];
  for (const wrong of wrongs) {
    using stage = new CopyStage();
    mkdirSync(stage.to);
    const sink = stage.sink();
    sink.receive(small(1, "file", 3));
    drain(sink);
    sink.receive({ type: "start", id: 1, offset: 0 });
    sink.receive({ type: "content", offset: 0, ...abc });
    expect(readdirSync(stage.to)).toHaveLength(1);
    expect(() => sink.receive(wrong)).toThrow(ProtocolError);
    sink.close();
    expect(readdirSync(stage.to)).toEqual([]);
    expect(descriptorsIn(stage.folder)).toBe(0);
  }
});

test("a copy that is stopped while it counts begins nothing any more", () => {
  using stage = new CopyStage();
  mkdirSync(stage.from);
  for (let index = 0; index < 2001; index++) writeFileSync(join(stage.from, `${index}`), "");
  const source = stage.source();
  expect(source.next()).toBe("working");
  source.close();
  expect(source.next()).toEqual({ type: "all" });
  expect(descriptorsIn(stage.folder)).toBe(0);
});
