import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { readdirSync, readlinkSync } from "node:fs";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { decodeError, request } from "../../../src/protocol/message.ts";
import { sessionReplySchema } from "../../../src/protocol/session-message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { seeded } from "../../support/seed.ts";
import { eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** What the keeper answers to these bytes, as the code of its error frame or the type of another. */
async function answerTo(bytes: Uint8Array, end = true): Promise<string> {
  const stream = await machine.connect();
  await stream.write(bytes);
  if (end) await stream.end();
  const frame = await new FrameStream(stream).read();
  await stream.end();
  if (frame === null) return "end";
  return frame.type === frameTypes.error
    ? decodeError(frame.payload).code
    : `0x${frame.type.toString(16)}`;
}

function requestFrame(body: string): Uint8Array {
  const payload = new TextEncoder().encode(body);
  const bytes = new Uint8Array(5 + payload.length);
  bytes[0] = frameTypes.request;
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

test.each([
  ["no JSON", requestFrame("{")],
  ["no object", requestFrame("[]")],
  [
    "a member of the wrong kind",
    requestFrame('{"type":"session-open","id":"a","client":"a","tty":"yes"}'),
  ],
  [
    "an id that is a path",
    requestFrame('{"type":"session-open","id":"../a","client":"a","tty":true}'),
  ],
  ["a frame that is no request", Uint8Array.of(frameTypes.data, 0, 0, 0, 1, 7)],
  ["a length beyond the limit", Uint8Array.of(frameTypes.request, 0xff, 0xff, 0xff, 0xff)],
  ["an unknown type of frame", Uint8Array.of(0xee, 0, 0, 0, 0)],
  ["an end within the request", requestFrame('{"type":"status"}').subarray(0, 9)],
])("%s is answered by bad-request", async (_, bytes) => {
  expect(await answerTo(bytes)).toBe("bad-request");
});

test.each(["reboot", "__proto__", "constructor"])("the request %s is unsupported", async (type) => {
  expect(await answerTo(requestFrame(`{"type":"${type}"}`))).toBe("unsupported");
});

test("nothing at all is answered by nothing", async () => {
  expect(await answerTo(new Uint8Array(0))).toBe("end");
});

test("arbitrary first bytes: an error or an end, and the machine goes on", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
      expect(["bad-request", "end"]).toContain(await answerTo(bytes));
    }),
    seeded(200),
  );
  expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
});

test("wrong frames within a session end this stream only", async () => {
  const session = await machine.open({ name: "steady", argv: ["cat"] });
  const wrong = await machine.attach({ session: "steady", mode: "share" });
  await wrong.raw(Uint8Array.of(frameTypes.stdin, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 0, 65));
  expect(wrong.over()).rejects.toMatchObject({ code: "bad-request" });
  await session.write("unharmed");
  await session.endInput();
  expect((await session.outcome()).stdout).toBe("unharmed");
});

test("a request to a forward or a session beyond the limits names the limit", async () => {
  expect(await answerTo(requestFrame('{"type":"forward","host":"localhost","port":80}'))).toBe(
    "unsupported",
  );
  await machine.open({ name: "crowded", argv: ["sleep", "100"] });
  const watchers = [];
  for (let i = 1; i < initLimits.clientsPerSessionMax; i++)
    watchers.push(await machine.attach({ session: "crowded", mode: "share" }));
  expect(machine.attach({ session: "crowded", mode: "share" })).rejects.toMatchObject({
    code: "limit",
  });
  await watchers[0]?.signal(9);
  for (const watcher of watchers) await watcher.over();
});

test("more connections than keeperConnectionsMax are turned away, those that are open go on", async () => {
  const session = await machine.open({ argv: ["cat"] });
  const sockets = openSockets();
  const streams = [];
  for (let i = 0; i < initLimits.keeperConnectionsMax + 10; i++) {
    // A kernel whose own queue is full refuses some by itself.
    const stream = await machine.connect().catch(() => undefined);
    if (stream !== undefined) streams.push(stream);
  }
  await session.write("unharmed");
  await session.endInput();
  expect((await session.outcome()).stdout).toBe("unharmed");
  for (const stream of streams) stream.abort(0);
  await eventually(
    async () => openSockets(),
    (count) => count <= sockets,
  );
  expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
});

test("one who left and does not read what is under way keeps no place", async () => {
  const stream = await machine.connect();
  const frames = new FrameStream(stream);
  const id = crypto.randomUUID();
  const type = "session-open";
  await request(frames, { type, id, client: id, tty: false, argv: ["yes"] }, sessionReplySchema);
  const sockets = openSockets();
  // Until the machine waits to write more to us.
  await Bun.sleep(300);
  await stream.end();
  await eventually(
    async () => openSockets(),
    (count) => count < sockets,
  );
  stream.abort(0);
  await (await machine.attach({ session: id })).signal(9);
});

function openSockets(): number {
  const links = readdirSync(`/proc/${machine.pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${machine.pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => link.startsWith("socket:")).length;
}
