import { expect, test } from "bun:test";
import { AgentMux } from "../../src/protocol/agent-mux.ts";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { ProtocolError, WireError } from "../../src/protocol/errors.ts";
import { FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { memoryPair } from "../support/memory-stream.ts";
import { rejection } from "../support/rejection.ts";
import { seededRandom } from "../support/seed.ts";

test("connections do not mix, however their bytes are cut", async () => {
  const { machine } = pair((asked) => void echo(asked));
  const answers = await Promise.all(
    ["one", "two", "a third that is longer"].map(async (question) => {
      const connection = machine.open() as ByteStream;
      await connection.write(bytes(question));
      let answer = "";
      while (answer.length < question.length)
        answer += text((await connection.read()) ?? new Uint8Array(0));
      await connection.end();
      return answer;
    }),
  );
  expect(answers).toEqual(["one", "two", "a third that is longer"]);
});

test("an end is passed on in both directions, and the number is free again", async () => {
  const { machine } = pair((asked) => void asked.end());
  for (let turn = 0; turn < 3 * limits.agentConnectionsMax; turn++) {
    const connection = machine.open();
    await connection?.write(bytes("x"));
    expect(await connection?.read()).toBeNull();
  }
});

test("no more connections than the limit", () => {
  const { machine } = pair(() => undefined);
  for (let count = 0; count < limits.agentConnectionsMax; count++)
    expect(machine.open()).toBeDefined();
  expect(machine.open()).toBeUndefined();
});

test("one that nobody reads is closed, the others go on", async () => {
  const { machine } = pair((asked) => void flood(asked));
  const stalled = machine.open() as ByteStream;
  await stalled.write(bytes("more than fits"));
  const other = machine.open() as ByteStream;
  await other.write(bytes("q"));
  expect(await other.read()).not.toBeNull();
  expect(await rejection(readAll(stalled))).toMatchObject({ kind: "aborted" });
});

test("a machine opens none by itself, and no other frames belong there", async () => {
  const one = memoryPair();
  const run = new AgentMux(new FrameStream(one.near)).run();
  await new FrameStream(one.far).write(frameTypes.agentData, new Uint8Array(5));
  expect(await rejection(run)).toBeInstanceOf(ProtocolError);
  const two = memoryPair();
  const strange = new AgentMux(new FrameStream(two.near)).run();
  await new FrameStream(two.far).write(frameTypes.sshAck, new Uint8Array(8));
  expect(await rejection(strange)).toBeInstanceOf(WireError);
});

test("all connections are lost with the stream", async () => {
  const { machine, cut } = pair(() => undefined);
  const connection = machine.open() as ByteStream;
  const reading = connection.read();
  cut();
  expect(await rejection(reading)).toMatchObject({ kind: "connection-lost" });
});

function pair(onOpened: (asked: ByteStream) => void) {
  const { near, far, cut } = memoryPair({ random: seededRandom(1), bufferBytes: 4096 });
  const machine = new AgentMux(new FrameStream(near));
  const client = new AgentMux(new FrameStream(far), onOpened);
  for (const end of [machine, client]) end.run().catch(() => undefined);
  return { machine, cut };
}

async function echo(asked: ByteStream): Promise<void> {
  for (let read = await asked.read(); read !== null; read = await asked.read())
    await asked.write(read);
}

/** More than may wait at the other end, to whoever opens a connection with more than a byte. */
async function flood(asked: ByteStream): Promise<void> {
  const first = await asked.read();
  const count = first !== null && first.length > 1 ? limits.agentQueueBytesMax + 1 : 1;
  await asked.write(new Uint8Array(count)).catch(() => undefined);
}

async function readAll(connection: ByteStream): Promise<void> {
  // It begins to read only when the limit is passed.
  await Bun.sleep(50);
  while ((await connection.read()) !== null);
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}
