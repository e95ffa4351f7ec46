import { expect, test } from "bun:test";
import { encodeFileMessage } from "../../../src/protocol/file-frame.ts";
import type { FileMessage } from "../../../src/protocol/file-message.ts";
import { limits } from "../../../src/protocol/limits.ts";
import { copyLimits } from "../../../src/system/copy/copy-limits.ts";
import { MessageBatch } from "../../../src/system/copy/message-batch.ts";

const content = (length: number): FileMessage => ({
  type: "content",
  id: 1,
  offset: 2 ** 40,
  bytes: new Uint8Array(length).fill(7),
});

test("a batch is its messages one after the other, and has room for the largest once it is not full", () => {
  const batch = new MessageBatch();
  expect(batch.isEmpty).toBe(true);
  for (let round = 0; round < 2; round++) {
    const messages: FileMessage[] = [{ type: "leave", id: 3 }, content(10)];
    const whole = { type: "whole", id: 4, crc32: 9, bytes: Buffer.from("small") } as const;
    const { length } = encodeFileMessage(content(0));
    const rest = copyLimits.batchBytesMin - 1 - length;
    messages.push(whole);
    const soFar = messages.reduce((sum, one) => sum + encodeFileMessage(one).length, 0);
    messages.push(content(rest - soFar));
    for (const message of messages) batch.add(message);
    expect([batch.isEmpty, batch.isFull]).toEqual([false, false]);
    messages.push(content(limits.fileContentBytesMax));
    batch.add(content(limits.fileContentBytesMax));
    expect(batch.isFull).toBe(true);
    const expected = Buffer.concat(messages.map((message) => encodeFileMessage(message)));
    expect(Buffer.compare(batch.take(), expected)).toBe(0);
    expect(batch.isEmpty).toBe(true);
  }
});
