import { afterEach, expect, spyOn, test } from "bun:test";
import { closeSync } from "node:fs";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { limits } from "../../../src/protocol/limits.ts";
import type { SessionAttachment } from "../../../src/protocol/session-server.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import type { Session } from "../../../src/roles/init/session.ts";
import type { SessionProcess } from "../../../src/roles/init/session-process.ts";
import { serveSession } from "../../../src/roles/init/session-stream.ts";
import { SessionTable } from "../../../src/roles/init/session-table.ts";
import { Wake } from "../../../src/roles/init/wake.ts";
import { memoryPair } from "../../support/memory-stream.ts";
import { DescriptorReader, DescriptorWriter, openPipe } from "../../../src/system/process-pipe.ts";

/** Sessions without programs: their pipes and ends are the test's, and so is the clock. */
class Stage {
  nowMs = Date.parse("2026-11-23T12:00:00Z");
  /** How far the clock on the wall was set forward. */
  setByMs = 0;
  refusesToStart = false;
  readonly table: SessionTable;
  readonly #ends = new Map<string, () => void>();
  #opened = 0;

  constructor(options: { readonly ringBytes?: number; readonly ringsBytesMax?: number } = {}) {
    this.table = new SessionTable({
      start: (request) => this.#start(request.id),
      ringBytes: options.ringBytes ?? limits.ringBytes,
      ringsBytesMax: options.ringsBytesMax ?? limits.ringsBytesMax,
      randomId: () => crypto.randomUUID(),
      wallMs: () => this.nowMs + this.setByMs,
      monotonicMs: () => this.nowMs,
    });
  }

  /** What ran and ended, with this output. */
  async ended(wish: { readonly name?: string; readonly output?: number } = {}): Promise<Session> {
    const session = this.open(wish.name);
    session.state.stdout.append(new Uint8Array(wish.output ?? 1));
    await this.end(session);
    return session;
  }

  open(name?: string): Session {
    const id = `s${(this.#opened += 1)}`;
    const named = name === undefined ? {} : { name };
    return this.table.open({ type: "session-open", id, client: "c", tty: false, ...named }).session;
  }

  async end(session: Session): Promise<void> {
    this.#ends.get(session.id)?.();
    await new Promise<void>((resolve) => session.whenEnded(resolve));
  }

  knows(session: Session): boolean {
    return this.table.list().sessions.some((one) => one.session_id === session.id);
  }

  close(): void {
    for (const end of this.#ends.values()) end();
    this.table.close();
  }

  #start(id: string): SessionProcess {
    if (this.refusesToStart) throw new RemoteError("command-not-found", "command not found");
    const [stdin, stdout] = [openPipe(), openPipe()];
    const { promise, resolve } = Promise.withResolvers<{ kind: "exited"; code: number }>();
    this.#ends.set(id, () => {
      this.#ends.delete(id);
      closeSync(stdout.writeFd);
      closeSync(stdin.readFd);
      resolve({ kind: "exited", code: 0 });
    });
    return {
      pid: 0,
      insidePid: undefined,
      argv: [],
      user: "root",
      cwd: "/",
      term: undefined,
      stdin: new DescriptorWriter(stdin.writeFd),
      stdout: new DescriptorReader(stdout.readFd),
      stderr: undefined,
      waiting: () => 0,
      leadsForeground: () => false,
      show: () => undefined,
      ended: promise,
      resize: () => undefined,
      signal: () => undefined,
      signalGroup: () => undefined,
    };
  }
}

const stages: Stage[] = [];

function makeStage(options?: ConstructorParameters<typeof Stage>[0]): Stage {
  const stage = new Stage(options);
  stages.push(stage);
  return stage;
}

afterEach(() => {
  for (const stage of stages.splice(0)) stage.close();
});

test("what has ended is kept for finishedKeptMs and not a millisecond longer", async () => {
  const stage = makeStage();
  const session = await stage.ended({ name: "job", output: 10 });
  stage.nowMs += limits.finishedKeptMs - 1;
  stage.table.forgetOld();
  expect(stage.table.find({ session: "job" })).toBe(session);
  expect(textOf(attach(session))).toContain("stdout");
  stage.nowMs += 1;
  stage.table.forgetOld();
  expect(() => stage.table.find({ session: "job" })).toThrow("There is no session job");
  expect(stage.table.list().sessions).toEqual([]);
});

test("a clock that is set makes nothing old, nor young again", async () => {
  const stage = makeStage();
  const session = await stage.ended();
  stage.setByMs = 2 * limits.finishedKeptMs;
  stage.table.forgetOld();
  expect(stage.knows(session)).toBe(true);
  stage.setByMs = -2 * limits.finishedKeptMs;
  stage.nowMs += limits.finishedKeptMs;
  stage.table.forgetOld();
  expect(stage.knows(session)).toBe(false);
});

test("what runs is kept for ever", async () => {
  const stage = makeStage();
  const session = stage.open("long");
  stage.nowMs += 100 * limits.finishedKeptMs;
  stage.table.forgetOld();
  expect(stage.table.find({ session: "long" })).toBe(session);
  await stage.end(session);
  stage.table.forgetOld();
  expect(stage.knows(session)).toBe(true);
});

test("the name of what was forgotten is free, and its id runs anew", async () => {
  const stage = makeStage();
  const first = await stage.ended({ name: "job" });
  stage.nowMs += limits.finishedKeptMs;
  stage.table.forgetOld();
  const again = stage.table.open(first.request);
  expect(again.created).toBe(true);
  expect(again.session.generation).not.toBe(first.generation);
  expect(stage.table.find({ session: "job" })).toBe(again.session);
});

test("what somebody looks at is not forgotten before they leave", async () => {
  const stage = makeStage();
  const [attached, viewed] = [await stage.ended(), await stage.ended()];
  const client = {
    client: "c",
    sinceMs: 0,
    drives: true,
    wake: new Wake(),
    dismiss: () => undefined,
  };
  attached.addClient(client);
  const leave = viewed.addViewer(new Wake());
  stage.nowMs += 2 * limits.finishedKeptMs;
  stage.table.forgetOld();
  expect([stage.knows(attached), stage.knows(viewed)]).toEqual([true, true]);
  attached.removeClient(client);
  leave();
  stage.table.forgetOld();
  expect([stage.knows(attached), stage.knows(viewed)]).toEqual([false, false]);
});

test("beyond finishedMax those go first whose end is known, then the oldest", async () => {
  const stage = makeStage();
  const all: Session[] = [];
  for (let count = 0; count < initLimits.finishedMax; count++) {
    stage.nowMs += 1;
    all.push(await stage.ended());
  }
  const [oldest, second, third] = all;
  if (oldest === undefined || second === undefined || third === undefined) throw new Error("None");
  third.acknowledge();
  stage.table.forgetOld();
  expect(all.every((session) => stage.knows(session))).toBe(true);
  await stage.ended();
  stage.table.forgetOld();
  expect([oldest, second, third].map((one) => stage.knows(one))).toEqual([true, true, false]);
  await stage.ended();
  stage.table.forgetOld();
  expect([oldest, second].map((one) => stage.knows(one))).toEqual([false, true]);
});

test("output that is acknowledged gives way first, unless it has a name", async () => {
  const ringBytes = 1024 * 1024;
  const stage = makeStage({ ringBytes, ringsBytesMax: 4 * ringBytes });
  const named = await stage.ended({ name: "known", output: ringBytes });
  const unseen = await stage.ended({ output: ringBytes });
  const seen = await stage.ended({ output: ringBytes });
  for (const session of [named, seen]) session.acknowledge();
  await stage.ended({ output: ringBytes });
  await stage.ended({ output: ringBytes });
  const kept = [named, unseen, seen].map((one) => one.state.stdout.startOffset === 0);
  expect(kept).toEqual([true, true, false]);
  expect(textOf(attach(seen))).toStartWith("gap");
  // A name given later counts as well, and one taken away no more.
  stage.table.rename({ type: "session-rename", session: named.id });
  await stage.ended({ output: ringBytes });
  expect(named.state.stdout.startOffset).toBeGreaterThan(0);
  expect(unseen.state.stdout.startOffset).toBe(0);
});

test("a name is not lost to a command that does not start", async () => {
  const stage = makeStage();
  const session = await stage.ended({ name: "job" });
  stage.refusesToStart = true;
  expect(() => stage.open("job")).toThrow("command not found");
  expect(stage.table.find({ session: "job" })).toBe(session);
  stage.refusesToStart = false;
  const next = stage.open("job");
  expect(stage.table.find({ session: "job" })).toBe(next);
});

test("a driver that comes and goes is waited for awayHoldMs from when it left last", () => {
  const clock = spyOn(globalThis, "setTimeout");
  const stop = spyOn(globalThis, "clearTimeout");
  const session = makeStage({ ringBytes: 1024 * 1024 }).open();
  const holds = (): number[] =>
    clock.mock.calls.flatMap(([, ms], index) => (ms === initLimits.awayHoldMs ? [index] : []));
  for (let round = 0; round < 3; round++) {
    session.state.attach({ id: "c", shown: { stdout: 0, stderr: 0 }, holdsBack: true });
    const client = {
      client: "c",
      sinceMs: 0,
      drives: true,
      wake: new Wake(),
      dismiss: () => undefined,
    };
    session.addClient(client);
    session.takeOver(client);
    session.removeClient(client);
  }
  const timers = holds().map((index) => clock.mock.results[index]?.value);
  const stopped = timers.map((timer) => stop.mock.calls.some(([one]) => one === timer));
  const last = clock.mock.calls[holds().at(-1) ?? -1]?.[0];
  clock.mockRestore();
  stop.mockRestore();
  expect(stopped).toEqual([true, true, false]);
  session.state.stdout.append(new Uint8Array(1024 * 1024));
  expect(session.state.readableBytes("stdout")).toBe(0);
  (last as () => void)();
  expect(session.state.readableBytes("stdout")).toBe(1024 * 1024);
});

test("an end counts as seen when it was sent to a driver, not to one who shares", async () => {
  const stage = makeStage();
  const session = await stage.ended();
  for (const [mode, known] of [
    ["share", false],
    ["take-over", true],
  ] as const) {
    const { near, far } = memoryPair();
    const wish = { type: "session-attach", session: session.id, client: mode, mode } as const;
    const offsets = { stdout_offset: 0, stderr_offset: 0 };
    const serving = serveSession(new FrameStream(far), { ...wish, ...offsets }, stage.table);
    const frames = new FrameStream(near);
    while ((await frames.read())?.type !== frameTypes.exit);
    // Most clients are gone before they have acknowledged it.
    await frames.stream.end();
    await serving;
    expect(session.seen).toBe(known);
    expect(session.state.stdout.expendable).toBeFalse();
  }
});

test("the table looks for what is old by itself, every sweepMs", async () => {
  const clock = spyOn(globalThis, "setInterval");
  const stage = makeStage();
  const sweep = clock.mock.calls.find(([, ms]) => ms === initLimits.sweepMs)?.[0];
  clock.mockRestore();
  const session = await stage.ended();
  stage.nowMs += limits.finishedKeptMs;
  expect(stage.knows(session)).toBe(true);
  sweep?.();
  expect(stage.knows(session)).toBe(false);
});

function attach(session: Session): SessionAttachment {
  return session.state.attach({ id: "r", shown: { stdout: 0, stderr: 0 }, holdsBack: false });
}

/** Kinds of the frames that come, by their numbers in docs/protocol.md. */
function textOf(attachment: SessionAttachment): string {
  const names: Record<number, string> = {
    0x11: "stdout",
    0x12: "stderr",
    0x16: "exit",
    0x18: "gap",
  };
  const kinds: string[] = [];
  for (let frame = attachment.poll(); frame !== undefined; frame = attachment.poll())
    kinds.push(names[frame[0] ?? 0] ?? "?");
  return kinds.join(" ");
}
