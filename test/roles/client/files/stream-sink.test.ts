import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { ProtocolError } from "../../../../src/protocol/errors.ts";
import { StreamedSoFar, StreamSink } from "../../../../src/roles/client/files/stream-sink.ts";
import { CopyStage, runPair } from "../../../system/copy/copy-pair.ts";

test("a file whose digest is not said is not taken for right", () => {
  using stage = new CopyStage();
  writeFileSync(stage.from, Buffer.alloc(200_000, "x"));
  const sink = new StreamSink(new StreamedSoFar(async () => undefined), stage.observer());
  expect(() => {
    runPair(stage.source({ digests: false }), sink);
  }).toThrow(ProtocolError);
  expect(stage.settled).toEqual([]);
});

test("a small file that is out already when the link is lost is not said twice", async () => {
  using stage = new CopyStage();
  writeFileSync(stage.from, "content");
  let out = "";
  const soFar = new StreamedSoFar(async (bytes) => {
    out += Buffer.from(bytes).toString();
  });
  const broken = stage.source();
  runPair(broken, new StreamSink(soFar, stage.observer()), ({ type }) => type === "whole");
  broken.close();
  runPair(stage.source(), new StreamSink(soFar, stage.observer()));
  await soFar.written;
  expect(stage.failed).toEqual([]);
  expect(stage.settled).toEqual(["written from", "written from"]);
  expect(out).toBe("content");
});
