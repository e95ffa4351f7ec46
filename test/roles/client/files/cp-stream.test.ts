import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { FrameStream, type FrameType, frameTypes } from "../../../../src/protocol/frame.ts";
import { encodeJson, sendError } from "../../../../src/protocol/message.ts";
import { copyOver } from "../../../../src/roles/client/files/cp-stream.ts";
import { nobody } from "../../../../src/system/copy/copy-peer.ts";
import { CopyStage } from "../../../system/copy/copy-pair.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { rejection } from "../../../support/rejection.ts";

const job = {
  type: "receive",
  destination: "to",
  into_folder: true,
  existing: "replace",
  dry_run: false,
  preserve: false,
} as const;

/** A copy up over a stream of which the machine's end is `machine`. */
function upload(stage: CopyStage): {
  machine: FrameStream;
  counted: Promise<number>;
  done: Promise<void>;
} {
  mkdirSync(stage.from, { recursive: true });
  writeFileSync(join(stage.from, "file"), "content");
  const { near, far } = memoryPair();
  const counted = Promise.withResolvers<number>();
  const observer = { ...nobody, total: (files: number) => counted.resolve(files) };
  const connection = { openStream: async () => near, closed: new Promise(() => undefined) };
  const done = copyOver(connection, { user: undefined, job }, stage.source({ observer }));
  done.catch(() => undefined);
  return { machine: new FrameStream(far), counted: counted.promise, done };
}

test("what is to be copied is looked through before the machine has answered, and told after the job", async () => {
  using stage = new CopyStage();
  const { machine, counted, done } = upload(stage);
  const read: (FrameType | undefined)[] = [(await machine.read())?.type];
  expect(await counted).toBe(1);
  const next = machine.read();
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  await machine.write(frameTypes.ok, encodeJson({ home: "/root", user: "root" }));
  read.push((await next)?.type, (await machine.read())?.type);
  expect(read).toEqual([frameTypes.request, frameTypes.fileJob, frameTypes.fileTotal]);
  machine.stream.abort(0);
  await rejection(done);
});

test("a copy that is refused says why, and nothing of it is told", async () => {
  using stage = new CopyStage();
  const { machine, counted, done } = upload(stage);
  await machine.read();
  await counted;
  await sendError(machine, new RemoteError("limit", "too many copies"));
  expect(await rejection(done)).toMatchObject({ code: "limit" });
  await rejection(machine.read());
});
