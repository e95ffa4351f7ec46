import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { encodeJson, request } from "../../../src/protocol/message.ts";
import {
  type SessionEnd,
  sessionEndSchema,
  type SessionList,
  type SessionRenameRequest,
  type SessionSignalRequest,
  type SessionWaitRequest,
} from "../../../src/protocol/session-message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { rejection } from "../../support/rejection.ts";
import { ask, codeOf, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

const nothing = v.strictObject({});

async function rename(wish: Omit<SessionRenameRequest, "type">): Promise<void> {
  await ask(machine, { type: "session-rename", ...wish }, nothing);
}

async function signal(wish: Omit<SessionSignalRequest, "type">): Promise<void> {
  await ask(machine, { type: "session-signal", ...wish }, nothing);
}

async function wait(wish: Omit<SessionWaitRequest, "type">): Promise<SessionEnd> {
  return ask(machine, { type: "session-wait", ...wish }, sessionEndSchema);
}

async function listed(id: string): Promise<SessionList["sessions"][number]> {
  const found = (await machine.sessions()).find((session) => session.session_id === id);
  if (found === undefined) throw new Error(`${id} is not in the list`);
  return found;
}

test("rename: the new name leads to it, the old one nowhere, and the client notices nothing", async () => {
  const client = await machine.open({ name: "before", argv: ["cat"] });
  const { id } = client.reply;
  await rename({ session: "before", name: "after" });
  expect((await listed(id)).name).toBe("after");
  expect(await codeOf(rename({ session: "before", name: "x" }))).toBe("not-found");
  await rename({ session: "after", name: "after" });
  await rename({ session: "after" });
  expect((await listed(id)).name).toBeUndefined();
  expect(await codeOf(wait({ session: "after", timeout_ms: 1 }))).toBe("not-found");
  const heir = await machine.open({ name: "after", argv: ["true"] });
  await heir.over();
  await client.write("unharmed");
  await client.endInput();
  expect((await client.outcome()).stdout).toBe("unharmed");
});

test("rename: a name is one session's while it runs, and the next one's when it has ended", async () => {
  const [holder, other] = [
    await machine.open({ name: "taken", argv: ["sleep", "100"] }),
    await machine.open({ argv: ["sleep", "100"] }),
  ];
  const { id } = other.reply;
  expect(await codeOf(rename({ session: id, name: "taken" }))).toBe("already-exists");
  expect((await listed(id)).name).toBeUndefined();
  expect((await listed(holder.reply.id)).name).toBe("taken");
  await signal({ session: "taken", signal: 9 });
  await holder.over();
  await rename({ session: id, name: "taken" });
  expect((await listed(id)).name).toBe("taken");
  expect((await listed(holder.reply.id)).name).toBeUndefined();
  await signal({ session: "taken", signal: 9 });
  await other.over();
  // What has ended may be named too, to find its output again.
  await rename({ session: holder.reply.id, name: "kept" });
  expect((await (await machine.attach({ session: "kept" })).outcome()).exit).toEqual({ signal: 9 });
});

test("rename, signal and wait tell an unknown session from one of another generation", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const wrong = { session: client.reply.id, generation: "another" };
  const unknown = { session: "nobody" };
  expect(await codeOf(rename({ ...wrong, name: "n" }))).toBe("gone");
  expect(await codeOf(signal({ ...wrong, signal: 9 }))).toBe("gone");
  expect(await codeOf(wait(wrong))).toBe("gone");
  expect(await codeOf(rename({ ...unknown, name: "n" }))).toBe("not-found");
  expect(await codeOf(signal({ ...unknown, signal: 9 }))).toBe("not-found");
  expect(await codeOf(wait(unknown))).toBe("not-found");
  await client.endInput();
  const { generation } = client.reply;
  expect((await wait({ session: client.reply.id, generation })).exit).toEqual({ code: 0 });
});

test("signal: the command's group gets it, and its client goes on", async () => {
  const script = "trap 'echo caught' USR1; echo on; while :; do sleep 0.02; done";
  const client = await machine.open({ argv: ["/bin/sh", "-c", script] });
  const { id } = client.reply;
  await client.until("on");
  await signal({ session: id, signal: 10 });
  await client.until("caught");
  await signal({ session: id, signal: 64 });
  expect((await client.outcome()).exit).toEqual({ signal: 64 });
});

test("signal: on a terminal what is in the foreground gets it, or else the shell", async () => {
  const client = await machine.open({ tty: true });
  const { id } = client.reply;
  await client.write("sleep 1000; echo after=$?\n");
  const shell = await listed(id);
  await eventually(foreground, (group) => group !== shell.pid && group > 0);
  await signal({ session: id, signal: 15 });
  await client.until("after=143");
  await client.write("sleep 1000\n");
  await eventually(foreground, (group) => group !== shell.pid && group > 0);
  await signal({ session: id, signal: 1, to: "program" });
  expect((await client.outcome()).exit).toEqual({ signal: 1 });

  /** Group in the foreground of the shell's terminal, as the shell's own PID namespace numbers it. */
  async function foreground(): Promise<number> {
    const { stdout } = await machine.run(["cat", `/proc/${shell.pid}/stat`]);
    return Number(stdout.split(" ")[7]);
  }
});

test("signal: to a session that has ended is refused with how it ended", async () => {
  const client = await machine.open({ name: "brief", argv: ["/bin/sh", "-c", "exit 3"] });
  await client.over();
  const refusal = await rejection(signal({ session: "brief", signal: 9 }));
  expect(refusal).toMatchObject({
    code: "ended",
    message: "Session brief has ended already (exit code 3)",
  });
});

test("wait: answered at the end, or at once when it has ended, however often it is asked", async () => {
  const client = await machine.open({ argv: ["/bin/sh", "-c", "read line; exit 5"] });
  const session = client.reply.id;
  const waits = [wait({ session }), wait({ session, timeout_ms: 2 ** 40 }), wait({ session })];
  await client.write("go\n");
  expect(await Promise.all(waits)).toEqual(waits.map(() => ({ exit: { code: 5 } })));
  expect(await wait({ session })).toEqual({ exit: { code: 5 } });
  expect(await wait({ session, timeout_ms: 1 })).toEqual({ exit: { code: 5 } });
});

test("wait: without an exit when the time ran out first, and then asked again", async () => {
  const client = await machine.open({ argv: ["sleep", "100"] });
  const session = client.reply.id;
  expect(await wait({ session, timeout_ms: 20 })).toEqual({});
  const second = wait({ session });
  await signal({ session, signal: 15 });
  expect(await second).toEqual({ exit: { signal: 15 } });
});

test("wait: a time limit of the command is told", async () => {
  const client = await machine.open({ argv: ["sleep", "100"], timeout_ms: 30 });
  const exit = { signal: 15, timed_out: true };
  expect(await wait({ session: client.reply.id })).toEqual({ exit });
  expect(await listed(client.reply.id)).toMatchObject({ exit, exit_code: 124, state: "ended" });
});

test("wait: survives a lost connection by being asked again", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const session = client.reply.id;
  const lost = new FrameStream(await machine.connect());
  await lost.write(frameTypes.request, encodeJson({ type: "session-wait", session }));
  lost.stream.abort(0);
  const again = wait({ session });
  await client.endInput();
  expect(await again).toEqual({ exit: { code: 0 } });
});

test("wait: no more than waitersPerSessionMax at once, and one that leaves makes room", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const session = client.reply.id;
  const waiting = Array.from({ length: initLimits.waitersPerSessionMax }, async () => {
    const frames = new FrameStream(await machine.connect());
    const end = request(frames, { type: "session-wait", session }, sessionEndSchema);
    end.catch(() => undefined);
    return { frames, end };
  });
  const waiters = await Promise.all(waiting);
  await eventually(
    async () => codeOrEnd(wait({ session, timeout_ms: 1 })),
    (code) => code === "limit",
  );
  waiters[0]?.frames.stream.abort(0);
  await eventually(
    async () => codeOrEnd(wait({ session, timeout_ms: 1 })),
    (code) => code === "end",
  );
  await client.endInput();
  for (const { end } of waiters.slice(1)) expect(await end).toEqual({ exit: { code: 0 } });
});

async function codeOrEnd(waited: Promise<SessionEnd>): Promise<string> {
  return waited.then(
    () => "end",
    async (error: unknown) => codeOf(Promise.reject(error)),
  );
}

test("wait: a frame after the request is a violation", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const frames = new FrameStream(await machine.connect());
  const session = client.reply.id;
  const end = request(frames, { type: "session-wait", session }, sessionEndSchema);
  const refused = codeOf(end);
  await frames.write(frameTypes.exitAck, new Uint8Array(0));
  expect(await refused).toBe("bad-request");
  await client.endInput();
  expect((await client.outcome()).exit).toEqual({ code: 0 });
});

test("the list says who, where, how long, how much and how it ended", async () => {
  const client = await machine.open({
    name: "described",
    user: "dev",
    cwd: "/tmp",
    context: "a note",
    argv: ["/bin/sh", "-c", "echo $$; echo err >&2; read line; exit 4"],
  });
  const { id, generation } = client.reply;
  await client.until("\n");
  const sharer = await machine.attach({ session: id, mode: "share" });
  const running = await eventually(
    async () => listed(id),
    ({ stderr_bytes: bytes }) => bytes > 0,
  );
  expect(running).toEqual({
    session_id: id,
    name: "described",
    generation,
    argv: ["/bin/sh", "-c", "echo $$; echo err >&2; read line; exit 4"],
    context: "a note",
    user: "dev",
    cwd: "/tmp",
    tty: false,
    state: "running",
    pid: Number(client.stdout),
    attached: true,
    clients: 2,
    attachments: [
      { label: null, since: expect.any(String), tty: false },
      { label: null, since: expect.any(String), tty: false },
    ],
    stdout_bytes: client.stdout.length,
    stderr_bytes: 4,
    started_at: running.started_at,
    ended_at: null,
    exit_code: null,
    exit: null,
    seen: false,
  });
  await client.write("\n");
  await Promise.all([client.over(), sharer.over()]);
  const ended = await eventually(
    async () => listed(id),
    ({ clients }) => clients === 0,
  );
  expect(ended).toEqual({
    ...running,
    state: "ended",
    pid: null,
    attached: false,
    clients: 0,
    attachments: [],
    ended_at: ended.ended_at,
    exit_code: 4,
    exit: { code: 4 },
    seen: true,
  });
  expect(Date.parse(ended.ended_at ?? "")).toBeGreaterThanOrEqual(Date.parse(ended.started_at));
});
