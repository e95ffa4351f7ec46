import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { within, late } from "../../../src/system/within.ts";
import { codeOf } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** Three windows of stdin for a program that will not read them, but lives on. */
const unreadBytes = 3 * 1024 * 1024;

test.each([
  ["at once", "exec <&-; echo closed; sleep 100"],
  ["while we write", "echo ready; sleep 0.3; exec <&-; echo closed; sleep 100"],
  ["with part of it read", "head -c 100000 >/dev/null; exec <&-; echo closed; sleep 100"],
])("stdin that the program closed %s is taken as into a broken pipe", async (_, script) => {
  const client = await machine.open({ argv: ["/bin/sh", "-c", script] });
  const writing = client.write(new Uint8Array(unreadBytes));
  await client.until("closed");
  expect(await within(writing, 10_000)).not.toBe(late);
  await client.endInput();
  await client.signal(9);
  expect((await client.outcome()).exit).toEqual({ signal: 9 });
});

test("a program that never reads holds its client back at the window", async () => {
  const client = await machine.open({ argv: ["sleep", "100"] });
  const writing = client.write(new Uint8Array(unreadBytes));
  writing.catch(() => undefined);
  expect(await within(writing, 500)).toBe(late);
  await client.signal(9);
  await client.over();
  expect(client.exit).toEqual({ signal: 9 });
});

test("of all clients together no more than inputQueueBytesMax waits for a program", async () => {
  const first = await machine.open({ argv: ["sleep", "100"] });
  const { id } = first.reply;
  const { inputQueueBytesMax } = initLimits;
  // A pipe has room for a frame or two besides; the last of these is cut short.
  for (let bytes = 0; bytes <= inputQueueBytesMax; bytes += limits.stdinWindowBytes) {
    const typist = await machine.attach({ session: id, mode: "share" });
    const typed = typist.write(new Uint8Array(limits.stdinWindowBytes));
    await typed.then(async () => typist.leave()).catch(() => undefined);
    await typist.over().catch(() => undefined);
  }
  const refused = await machine.attach({ session: id, mode: "share", client: "late" });
  await refused.write("one more");
  expect(await codeOf(refused.over())).toBe("limit");
  // What was refused does not count as received.
  const again = await machine.attach({ session: id, mode: "share", client: "late" });
  expect(again.reply.stdin_offset).toBe(0);
  await first.signal(9);
  expect((await first.outcome()).exit).toEqual({ signal: 9 });
});
