import { expect, test } from "bun:test";
import { brokerLimits } from "../../../../src/roles/proxy/broker/broker-limits.ts";
import { Outbox } from "../../../../src/roles/proxy/broker/outbox.ts";
import {
  DescriptorReader,
  DescriptorWriter,
  openPipe,
} from "../../../../src/system/process-pipe.ts";

const text = (word: string): Uint8Array => new TextEncoder().encode(word);

async function readAll(reader: DescriptorReader, bytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  while (length < bytes) {
    const part = await reader.read();
    if (part === null) break;
    parts.push(part);
    length += part.byteLength;
  }
  return Buffer.concat(parts);
}

test("messages leave in order, and of each matter that waits only the newest", async () => {
  const pipe = openPipe();
  const outbox = new Outbox(new DescriptorWriter(pipe.writeFd));
  const reader = new DescriptorReader(pipe.readFd);
  outbox.put("a", text("a1 "));
  outbox.put("b", text("b1 "));
  outbox.put("a", text("a2 "));
  expect((await readAll(reader, 6)).toString()).toBe("b1 a2 ");
  outbox.put("a", text("a3 "));
  expect((await readAll(reader, 3)).toString()).toBe("a3 ");
  outbox.close();
  expect(await reader.read()).toBeNull();
  reader.close();
});

test("nobody waits for a reader that does not read, and it costs no more than there are matters", async () => {
  const pipe = openPipe();
  const outbox = new Outbox(new DescriptorWriter(pipe.writeFd));
  const message = new Uint8Array(1000);
  for (let round = 0; round < 20; round++) {
    for (let matter = 0; matter < 200; matter++) outbox.put(`matter ${matter}`, message);
    await Bun.sleep(0);
  }
  expect(outbox.length).toBeGreaterThan(0);
  expect(outbox.length).toBeLessThanOrEqual(200);
  outbox.put("last", new Uint8Array([7]));
  const reader = new DescriptorReader(pipe.readFd);
  const deadlineMs = performance.now() + 5000;
  for (let last = 0; last !== 7 && performance.now() < deadlineMs;)
    last = (await reader.read())?.at(-1) ?? 7;
  expect(outbox.length).toBe(0);
  outbox.close();
  reader.close();
});

test("a message larger than one write is whole", async () => {
  const pipe = openPipe();
  const outbox = new Outbox(new DescriptorWriter(pipe.writeFd));
  const reader = new DescriptorReader(pipe.readFd);
  const size = brokerLimits.outboxWriteBytes * 10;
  outbox.put("large", new Uint8Array(size).fill(5));
  const read = await readAll(reader, size);
  expect(read.equals(Buffer.alloc(size, 5))).toBe(true);
  outbox.close();
  reader.close();
});

test("what is put for a process that is gone is forgotten", async () => {
  const pipe = openPipe();
  const outbox = new Outbox(new DescriptorWriter(pipe.writeFd));
  new DescriptorReader(pipe.readFd).close();
  for (let round = 0; round < 5; round++) {
    outbox.put("a", new Uint8Array(100));
    await Bun.sleep(1);
  }
  expect(outbox.length).toBe(0);
  outbox.close();
});
