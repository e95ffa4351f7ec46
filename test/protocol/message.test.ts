import { portsSchema } from "../../src/protocol/ports-message.ts";
import { listenReplySchema } from "../../src/protocol/forward-message.ts";
import { expect, test } from "bun:test";
import fc from "fast-check";
import * as v from "valibot";
import { decodeArchiveData, encodeArchiveData } from "../../src/protocol/archive-frame.ts";
import { RemoteError, remoteErrorCodes, WireError } from "../../src/protocol/errors.ts";
import { type Frame, FrameDecoder, FrameStream, frameTypes } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import {
  cancelReplySchema,
  decodeError,
  decodeJson,
  decodeRequest,
  encodeJson,
  progressSchema,
  provisionedSchema,
  provisionReplySchema,
  request,
  sendError,
  type Status,
  statusSchema,
} from "../../src/protocol/message.ts";
import {
  type SessionList,
  sessionEndSchema,
  sessionListSchema,
  sessionReplySchema,
} from "../../src/protocol/session-message.ts";
import { encodeSessionList } from "../../src/protocol/session-list.ts";
import { requests } from "../support/arbitraries.ts";
import { memoryPair } from "../support/memory-stream.ts";
import { rejection } from "../support/rejection.ts";
import { seeded } from "../support/seed.ts";
import { readVectors, withHex } from "../support/vectors.ts";

const anyReply = [
  listenReplySchema,
  statusSchema,
  sessionReplySchema,
  sessionListSchema,
  sessionEndSchema,
  provisionReplySchema,
  cancelReplySchema,
  v.strictObject({}),
];

test.each(readVectors("request.txt"))("request vector: $name", ({ bytes, value, refused }) => {
  if (refused === undefined) expect(decodeRequest(only(bytes)) as unknown).toEqual(value);
  else {
    const error = thrown(() => decodeRequest(only(bytes)));
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.message).toContain(refused);
  }
});

test.each(readVectors("reply.txt"))("reply vector: $name", ({ bytes, value, refused = "" }) => {
  const frame = only(bytes);
  if (frame.type === frameTypes.ok) {
    const readings = anyReply.flatMap((schema) => {
      try {
        return [decodeJson<v.GenericSchema>(schema, frame.payload, "Reply")];
      } catch {
        return [];
      }
    });
    expect(readings).toContainEqual(value);
  } else if (frame.type === frameTypes.ports) {
    const read = (): unknown => decodeJson(portsSchema, frame.payload, "Ports");
    if (value === undefined) expect(read).toThrow(refused);
    else expect(read()).toEqual(value);
  } else if (value === undefined) {
    expect(() => decodeError(frame.payload)).toThrow(refused);
  } else {
    const { code, message, hint } = decodeError(frame.payload);
    expect({ code, message, hint }).toEqual({ hint: undefined, ...(value as object) } as never);
  }
});

test.each(readVectors("provision.txt"))(
  "provision vector: $name",
  ({ bytes, value, refused = "" }) => {
    const read = (): unknown => {
      const { type, payload } = only(bytes);
      if (type === frameTypes.data) return withHex({ kind: "data", ...decodeArchiveData(payload) });
      if (type === frameTypes.dataEnd) return { kind: "data-end" };
      if (type === frameTypes.lacking) return withHex({ kind: "lacking", pieces: payload });
      if (type === frameTypes.progress)
        return { kind: "progress", ...decodeJson(progressSchema, payload, "Progress") };
      return { kind: "done", ...decodeJson(provisionedSchema, payload, "Done") };
    };
    if (value === undefined) expect(read).toThrow(refused);
    else expect(read()).toEqual(value);
  },
);

test("archive data round trips, and has at least a byte and an end below 2^53", () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });
  const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 300 });
  fc.assert(
    fc.property(fc.record({ offset, bytes }), (data) => {
      const frame = only(encodeArchiveData(data));
      expect(frame.type).toBe(frameTypes.data);
      expect(decodeArchiveData(frame.payload)).toEqual(data);
    }),
    seeded(500) as fc.Parameters<[{ offset: number; bytes: Uint8Array<ArrayBuffer> }]>,
  );
  const whole = { offset: 2 ** 40, bytes: new Uint8Array(limits.dataBytesMax) };
  expect(decodeArchiveData(only(encodeArchiveData(whole)).payload)).toEqual(whole);
});

test("an unknown request is unsupported, a wrong one bad", () => {
  const code = (body: unknown): string => {
    const error = thrown(() => decodeRequest(requestFrame(body)));
    return error instanceof RemoteError ? error.code : error.name;
  };
  expect(code({ type: "later" })).toBe("unsupported");
  expect(code({ type: "forward" })).toBe("bad-request");
  expect(code({ type: "__proto__" })).toBe("unsupported");
  expect(code("status")).toBe("bad-request");
  const reply = { type: frameTypes.ok, payload: encodeJson({ type: "status" }) };
  expect(thrown(() => decodeRequest(reply))).toMatchObject({ code: "bad-request" });
});

test("requests round trip", () => {
  fc.assert(
    fc.property(requests, (message) => {
      expect(decodeRequest(requestFrame(message))).toEqual(message);
    }),
    seeded(2000),
  );
});

test("hostile JSON gives a WireError and touches nothing", () => {
  const hostile = [
    "",
    "null",
    "[]",
    '"x"',
    "1e999",
    "-0",
    deep(120_000),
    `{"vm_state":${deep(100_000)}}`,
    `{"a":`.repeat(40_000),
    '{"__proto__":{"vm_state":"ready"}}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"vm_state":"ready","vm_state":"cold"}',
    `{"vm_state":"${"x".repeat(100_000)}"}`,
    "\u{feff}{}",
    "{'vm_state':1}",
    "NaN",
  ];
  for (const text of hostile) {
    const error = thrown(() => decodeJson(statusSchema, new TextEncoder().encode(text), "Status"));
    expect(error).toBeInstanceOf(WireError);
    expect(error.message.length).toBeLessThan(1100);
  }
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("bytes that are not UTF-8 are refused: overlong, surrogates, cut short, too high", () => {
  for (const wrong of [
    [0xc0, 0x80],
    [0xed, 0xa0, 0x80],
    [0xe2, 0x82],
    [0xf5, 0x80, 0x80, 0x80],
    [0xff],
  ]) {
    const bytes = Uint8Array.from([0x22, ...wrong, 0x22]);
    expect(thrown(() => decodeJson(v.string(), bytes, "Text"))).toBeInstanceOf(WireError);
  }
});

test("members named like Object's own are data in an environment, or left out, never acted on", () => {
  const body =
    '{"type":"session-open","id":"a","client":"c","tty":false,"env":{"__proto__":"x","toString":"y"}}';
  const frame = { type: frameTypes.request, payload: new TextEncoder().encode(body) };
  const open = decodeRequest(frame);
  if (open.type !== "session-open") throw new Error("Another request came out");
  expect(Object.getPrototypeOf(open.env)).toBe(Object.prototype);
  expect(open.env?.["toString"]).toBe("y");
});

test("text for the kernel has no NUL, no lone surrogate, no = in a name, and fits its limit", () => {
  const open = { type: "session-open", id: "a", client: "c", tty: false };
  const wrong: Record<string, unknown>[] = [
    { argv: ["a\0"] },
    { argv: ["\ud800"] },
    { argv: ["x".repeat(limits.textBytesMax + 1)] },
    { argv: ["é".repeat(limits.textBytesMax / 2 + 1)] },
    { argv: Array.from({ length: limits.argvItemsMax + 1 }, () => "") },
    { cwd: "/a\0b" },
    { user: "\0" },
    { env: { "A=B": "c" } },
    { env: { "": "c" } },
    { env: { A: "c\0" } },
    {
      env: Object.fromEntries(
        Array.from({ length: limits.envItemsMax + 1 }, (_, i) => [`A${i}`, ""]),
      ),
    },
    { context: "x".repeat(limits.noteBytesMax + 1) },
    { context: "\u{1b}[2J" },
    { id: "x".repeat(limits.nameBytesMax + 1) },
    { timeout_ms: 0 },
    { timeout_ms: 2 ** 53 },
    { rows: 0 },
    { cols: 65_536 },
  ];
  for (const members of wrong)
    expect(() => decodeRequest(requestFrame({ ...open, ...members }))).toThrow(RemoteError);
  const right = [
    { argv: ["x".repeat(limits.textBytesMax)] },
    { argv: Array.from({ length: limits.argvItemsMax }, () => "") },
    { context: "x".repeat(limits.noteBytesMax) },
    {
      env: Object.fromEntries(Array.from({ length: limits.envItemsMax }, (_, i) => [`A${i}`, ""])),
    },
    { id: "x".repeat(limits.nameBytesMax) },
  ];
  for (const members of right) decodeRequest(requestFrame({ ...open, ...members }));
  forwardTo(limits.hostBytesMax);
  expect(() => forwardTo(limits.hostBytesMax + 1)).toThrow(RemoteError);
  provisionFrom(limits.urlBytesMax);
  expect(() => provisionFrom(limits.urlBytesMax + 1)).toThrow(RemoteError);
});

test("an error always fits its frame and comes out as one printable line", async () => {
  const words = fc.oneof(
    fc.string({ unit: "binary", maxLength: 3000 }),
    fc.constantFrom("a\ud800b", "\udc00", ""),
    fc
      .constantFrom('"', "\\", "\u{1b}[31m", "€", "😀", "\ud800", "\u{202e}", "\u{fffd}", "\0")
      .map((unit) => unit.repeat(5000)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...remoteErrorCodes),
      words,
      words,
      async (code, message, hint) => {
        const pair = memoryPair();
        await sendError(new FrameStream(pair.far), new RemoteError(code, message, hint));
        const frame = await new FrameStream(pair.near).read();
        const error = decodeError(frame?.payload ?? new Uint8Array(0));
        expect(error.code).toBe(code);
        expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
        expect(Buffer.byteLength(error.message)).toBeLessThanOrEqual(limits.messageBytesMax);
        expect(Buffer.byteLength(error.hint ?? "")).toBeLessThanOrEqual(limits.hintBytesMax);
        if (
          message.length <= 300 &&
          message.isWellFormed() &&
          !/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(message)
        )
          expect(error.message).toBe(message);
      },
    ),
    seeded(300) as fc.Parameters<[(typeof remoteErrorCodes)[number], string, string]>,
  );
});

test("an error of a peer that does not clean its words is cleaned here", () => {
  const payload = encodeJson({ code: "busy", message: "a\u{1b}[2Jb", hint: "c\rd" });
  expect(decodeError(payload)).toMatchObject({ message: "a [2Jb", hint: "c d" });
});

test("a list of the most and longest sessions fits one reply", () => {
  const session: SessionList["sessions"][number] = {
    session_id: "x".repeat(limits.nameBytesMax),
    name: "y".repeat(limits.nameBytesMax),
    generation: "z".repeat(36),
    argv: Array.from({ length: 50 }, () => "\u{1}".repeat(100)),
    context: '"'.repeat(limits.noteBytesMax),
    user: "u".repeat(limits.textBytesMax),
    cwd: `/${"d".repeat(limits.textBytesMax - 1)}`,
    tty: false,
    state: "ended",
    pid: null,
    attached: true,
    clients: 16,
    stdout_bytes: Number.MAX_SAFE_INTEGER,
    stderr_bytes: Number.MAX_SAFE_INTEGER,
    started_at: "2026-11-23T12:00:00.000Z",
    ended_at: "2026-11-23T12:00:01.000Z",
    exit_code: 143,
    exit: { signal: 15, timed_out: true },
  };
  const full = Array.from({ length: limits.sessionsMax + 10 }, (_, index) => ({
    ...session,
    session_id: String(index).padStart(limits.nameBytesMax, "x"),
  }));
  const payload = encodeSessionList({ sessions: full });
  expect(payload.length).toBeLessThanOrEqual(limits.replyBytesMax);
  const { sessions } = decodeJson(sessionListSchema, payload, "List");
  expect(sessions).toHaveLength(limits.sessionsMax);
  expect(sessions.at(-1)?.session_id).toEndWith(String(full.length - 1));
  expect(sessions[0]?.argv.join(" ")).toStartWith("\u{1}".repeat(100));
  const one = decodeJson(sessionListSchema, encodeSessionList({ sessions: [session] }), "List");
  expect(one.sessions[0]?.context).toBe(session.context);
  expect(one.sessions[0]?.cwd).toHaveLength(limits.listedCharsMax);
  expect(one.sessions[0]?.argv.join(" ")).toHaveLength(limits.listedCharsMax + 1);
  const short = encodeSessionList({ sessions: [{ ...session, argv: ["make", "-j"] }] });
  expect(decodeJson(sessionListSchema, short, "List").sessions[0]?.argv).toEqual(["make", "-j"]);
});

test("the longest status fits ACCEPT", () => {
  const status: Status = {
    vm_state: "provisioning",
    runtime: "fallback-init",
    init_version: "100.100.100-candidate.100",
    protocol_oldest: 1000,
    protocol_newest: 1000,
    rootfs_sha256: "ab".repeat(32),
    rolled_back: { sha256: "ab".repeat(32), because: '"'.repeat(limits.becauseBytesMax) },
  };
  expect(encodeJson(status).length).toBeLessThanOrEqual(limits.acceptBytesMax - limits.proofBytes);
});

test("request sends the first frame and gives the reply, or the error as RemoteError", async () => {
  expect(await answer((far) => far.write(frameTypes.ok, encodeJson({ sessions: [] })))).toEqual({
    sessions: [],
  });
  expect(await answer((far) => sendError(far, new RemoteError("busy", "Later")))).toMatchObject({
    name: "RemoteError",
    code: "busy",
  });
  expect(await answer((far) => far.write(frameTypes.exitAck, new Uint8Array(0)))).toBeInstanceOf(
    WireError,
  );
  expect(await answer(async () => {})).toBeInstanceOf(WireError);
});

test("a reply that never comes is the stream's failure", async () => {
  const pair = memoryPair();
  const reply = request(new FrameStream(pair.near), { type: "status" }, statusSchema);
  pair.cut();
  expect(await rejection(reply)).toMatchObject({ name: "StreamError", kind: "connection-lost" });
});

function requestFrame(body: unknown): Frame {
  return { type: frameTypes.request, payload: new TextEncoder().encode(JSON.stringify(body)) };
}

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("Nothing was thrown");
}

function only(bytes: Uint8Array): Frame {
  const decoder = new FrameDecoder();
  decoder.feed(bytes);
  const frame = decoder.next();
  if (frame === undefined) throw new Error("Not a whole frame");
  return frame;
}

function deep(count: number): string {
  return `${"[".repeat(count)}${"]".repeat(count)}`;
}

function forwardTo(hostLength: number): unknown {
  return decodeRequest(requestFrame({ type: "forward", host: "x".repeat(hostLength), port: 1 }));
}

function provisionFrom(urlLength: number): unknown {
  const source = { kind: "url", url: "x".repeat(urlLength) };
  return decodeRequest(requestFrame({ type: "provision", id: "a", source }));
}

/** What `request` makes of a server that writes this after the request. */
async function answer(write: (frames: FrameStream) => Promise<void>): Promise<unknown> {
  const pair = memoryPair();
  const far = new FrameStream(pair.far);
  const serving = (async () => {
    const frame = await far.read();
    if (frame !== null) expect(decodeRequest(frame)).toEqual({ type: "sessions" });
    await write(far);
    await pair.far.end();
  })();
  const reply = request(new FrameStream(pair.near), { type: "sessions" }, sessionListSchema);
  const [outcome] = await Promise.allSettled([reply, serving]);
  return outcome.status === "fulfilled" ? outcome.value : outcome.reason;
}
