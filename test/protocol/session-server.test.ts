import { expect, test } from "bun:test";
import { ProtocolError } from "../../src/protocol/errors.ts";
import { type Frame, FrameDecoder } from "../../src/protocol/frame.ts";
import { limits } from "../../src/protocol/limits.ts";
import { SessionClient } from "../../src/protocol/session-client.ts";
import {
  type ClientFrame,
  decodeServerFrame,
  encodeSessionFrame,
  type ServerFrame,
} from "../../src/protocol/session-frame.ts";
import { OutputBudget } from "../../src/protocol/session-output.ts";
import { type SessionAttachment, SessionState } from "../../src/protocol/session-server.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const nothingShown = { stdout: 0, stderr: 0 };

test("both outputs are sent in turn, then the exit, once", () => {
  const session = open();
  const attachment = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  session.stdout.append(new Uint8Array(3 * limits.dataBytesMax));
  session.stderr.append(bytes("no"));
  session.finish({ code: 7 });
  const kinds = drain(attachment).map((frame) => frame.kind);
  expect(kinds.slice(0, 2).toSorted()).toEqual(["stderr", "stdout"]);
  expect(kinds.at(-1)).toBe("exit");
  expect(kinds.filter((kind) => kind === "exit")).toHaveLength(1);
  expect(drain(attachment)).toEqual([]);
});

test("the exit is sent again to a client that comes back without having acknowledged it", () => {
  const session = open();
  session.stdout.append(bytes("done"));
  session.finish({ signal: 9 });
  drain(session.attach({ id: "a", shown: nothingShown, holdsBack: true }));
  const again = session.attach({ id: "a", shown: { stdout: 4, stderr: 0 }, holdsBack: true });
  expect(drain(again)).toEqual([{ kind: "exit", exit: { signal: 9 } }]);
  expect(again.receive(frameOf({ kind: "exit-ack" }))).toEqual({ kind: "exit-ack" });
});

test("an exit acknowledged before it was sent is refused", () => {
  const attachment = open().attach({ id: "a", shown: nothingShown, holdsBack: true });
  expect(() => attachment.receive(frameOf({ kind: "exit-ack" }))).toThrow(ProtocolError);
});

test("the process waits for a client that holds back, and runs free without one", () => {
  const session = open(1000);
  expect(session.readableBytes("stdout")).toBe(1000);
  const attachment = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  session.attach({ id: "watcher", shown: nothingShown, holdsBack: false });
  session.stdout.append(new Uint8Array(900));
  expect(session.readableBytes("stdout")).toBe(100);
  expect(session.readableBytes("stderr")).toBe(1000);
  drain(attachment);
  attachment.receive(frameOf({ kind: "output-ack", stream: "stdout", offset: 500 }));
  expect(session.readableBytes("stdout")).toBe(600);
  attachment.receive(frameOf({ kind: "output-ack", stream: "stdout", offset: 100 }));
  expect(session.readableBytes("stdout")).toBe(600);
  session.leave("a");
  expect(session.readableBytes("stdout")).toBe(600);
  session.releaseAllBut("a");
  expect(session.readableBytes("stdout")).toBe(600);
  session.releaseAllBut(undefined);
  expect(session.readableBytes("stdout")).toBe(1000);
});

test("a client that is further behind than the ring does not stop the process for ever", () => {
  const session = open(1000);
  session.stdout.append(new Uint8Array(5000));
  const attachment = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  expect(session.readableBytes("stdout")).toBe(0);
  const frames = drain(attachment);
  expect(frames[0]).toEqual({ kind: "gap", stream: "stdout", from: 0, to: 4000 });
  attachment.receive(frameOf({ kind: "output-ack", stream: "stdout", offset: 4500 }));
  expect(session.readableBytes("stdout")).toBe(500);
});

test("when memory is short, what nobody waits for gives way before what a slow client has not seen", () => {
  const budget = new OutputBudget(1_000_000);
  const slow = new SessionState({ budget, ringBytes: 600_000 });
  slow.attach({ id: "slow", shown: nothingShown, holdsBack: true });
  slow.stdout.append(new Uint8Array(600_000));
  for (let count = 0; count < 10; count++) {
    const quick = new SessionState({ budget, ringBytes: 600_000 });
    const attachment = quick.attach({ id: "quick", shown: nothingShown, holdsBack: true });
    for (let offset = 100_000; offset <= 200_000; offset += 100_000) {
      quick.stdout.append(new Uint8Array(100_000));
      drain(attachment);
      attachment.receive(frameOf({ kind: "output-ack", stream: "stdout", offset }));
    }
  }
  expect(slow.stdout.startOffset).toBe(0);
  expect(budget.heldBytes).toBeLessThanOrEqual(1_000_000);
  // Once it has gone its output is as any other.
  slow.releaseAllBut(undefined);
  new SessionState({ budget, ringBytes: 600_000 }).stdout.append(new Uint8Array(300_000));
  expect(slow.stdout.startOffset).toBeGreaterThan(0);
});

test("claims that cannot be true are refused", () => {
  const session = open();
  session.stdout.append(bytes("abc"));
  const beyond = { id: "a", shown: { stdout: 4, stderr: 0 }, holdsBack: true };
  expect(() => session.attach(beyond)).toThrow(ProtocolError);
  const attachment = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  const ack = frameOf({ kind: "output-ack", stream: "stdout", offset: 1 });
  expect(() => attachment.receive(ack)).toThrow(ProtocolError);
  drain(attachment);
  expect(attachment.receive(ack)).toEqual({ kind: "room" });
});

test("every client counts its own stdin, over all its connections", () => {
  const session = open();
  const first = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  first.receive(frameOf({ kind: "stdin", offset: 0, bytes: bytes("abc") }));
  const other = session.attach({ id: "b", shown: nothingShown, holdsBack: true });
  expect(other.stdinOffset).toBe(0);
  expect(session.attach({ id: "a", shown: nothingShown, holdsBack: true }).stdinOffset).toBe(3);
});

test("the end of stdin is told once, however often it is sent", () => {
  const session = open();
  const first = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  first.receive(frameOf({ kind: "stdin", offset: 0, bytes: bytes("abc") }));
  const end = frameOf({ kind: "stdin-end", offset: 3 });
  expect(first.receive(end)).toEqual({ kind: "stdin-end" });
  const second = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  expect(second.receive(end)).toEqual({ kind: "stdin", bytes: bytes("") });
  expect(() => second.receive(frameOf({ kind: "stdin-end", offset: 2 }))).toThrow(ProtocolError);
});

test("stdin is acknowledged when the process took it, also after a reconnect", () => {
  const session = open();
  const first = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  first.receive(frameOf({ kind: "stdin", offset: 0, bytes: bytes("abc") }));
  expect(drain(first)).toEqual([]);
  first.stdinTaken(2);
  expect(drain(first)).toEqual([{ kind: "stdin-ack", offset: 2 }]);
  const second = session.attach({ id: "a", shown: nothingShown, holdsBack: true });
  expect(drain(second)).toEqual([{ kind: "stdin-ack", offset: 2 }]);
});

test("inputsMax clients are remembered; the one longest unattached is forgotten first", () => {
  const session = open();
  const attach = (id: string): SessionAttachment =>
    session.attach({ id, shown: nothingShown, holdsBack: true });
  for (let count = 0; count < limits.inputsMax; count++)
    attach(`c${count}`).receive(frameOf({ kind: "stdin", offset: 0, bytes: bytes("x") }));
  for (const id of ["c3", "c1", "c2", "c3"]) session.leave(id);
  attach("one-more");
  session.leave("one-more");
  // c0 was there first and is there still: it is not forgotten.
  expect(["c0", "c2", "c3", "one-more"].map((id) => attach(id).stdinOffset)).toEqual([1, 1, 1, 0]);
  expect(attach("c1").stdinOffset).toBe(0);
});

test("a driver holds back however many others come and go after it", () => {
  const session = open(1000);
  session.attach({ id: "driver", shown: nothingShown, holdsBack: true });
  for (let count = 0; count < 2 * limits.inputsMax; count++) {
    session.attach({ id: `c${count}`, shown: nothingShown, holdsBack: false });
    session.leave(`c${count}`);
  }
  session.stdout.append(new Uint8Array(900));
  expect(session.readableBytes("stdout")).toBe(100);
});

test("a view begins where it is told, or so many bytes before the end, and knows where that was", () => {
  const session = open();
  session.stdout.append(bytes("0123456789"));
  session.stderr.append(bytes("ab"));
  expect(session.view({ stdout: 4, stderr: 1 })).toMatchObject({
    begin: { stdout: 4, stderr: 1 },
    end: { stdout: 10, stderr: 2 },
  });
  const tail = session.view({ stdout: 4, stderr: 1 }, { bytes: 3 });
  expect(tail.begin).toEqual({ stdout: 7, stderr: 1 });
  expect(session.view({ stdout: 9, stderr: 0 }, { bytes: 3 }).begin).toEqual({
    stdout: 9,
    stderr: 0,
  });
  expect(session.view(nothingShown, { bytes: 0 }).begin).toEqual({ stdout: 10, stderr: 2 });
  session.stdout.append(bytes("x"));
  session.finish({ code: 1 });
  expect(drain(tail)).toEqual([
    { kind: "stdout", offset: 7, bytes: bytes("789x") },
    { kind: "stderr", offset: 1, bytes: bytes("b") },
    { kind: "exit", exit: { code: 1 } },
  ]);
  expect(() => session.view({ stdout: 12, stderr: 0 })).toThrow(ProtocolError);
  expect(() => session.view({ stdout: 12, stderr: 0 }, { bytes: 1 })).toThrow(ProtocolError);
});

test("a view asks for more than is kept: the rest is a gap", () => {
  const session = open(1000);
  session.stdout.append(new Uint8Array(5000));
  const [gap] = drain(session.view(nothingShown, { bytes: 3000 }));
  expect(gap).toEqual({ kind: "gap", stream: "stdout", from: 2000, to: 4000 });
});

test("a view holds nothing back, takes no client's place, and may only acknowledge what it was sent", () => {
  const session = open(1000);
  const typist = session.attach({ id: "typist", shown: nothingShown, holdsBack: true });
  typist.receive(frameOf({ kind: "stdin", offset: 0, bytes: bytes("abc") }));
  const views = Array.from({ length: limits.inputsMax + 1 }, () => session.view(nothingShown));
  session.stdout.append(bytes("out"));
  const [view] = views;
  if (view === undefined) throw new Error("No view");
  const early = frameOf({ kind: "output-ack", stream: "stdout", offset: 3 });
  expect(() => view.receive(early)).toThrow(ProtocolError);
  expect(() => view.receive(frameOf({ kind: "exit-ack" }))).toThrow(ProtocolError);
  expect(drain(view)).toHaveLength(1);
  expect(view.receive(early)).toEqual({ kind: "room" });
  const refused: ClientFrame[] = [
    { kind: "stdin", offset: 0, bytes: bytes("x") },
    { kind: "stdin-end", offset: 0 },
    { kind: "resize", rows: 1, cols: 1 },
    { kind: "signal", signal: 9 },
  ];
  for (const frame of refused) expect(() => view.receive(frameOf(frame))).toThrow(ProtocolError);
  drain(typist);
  typist.receive(frameOf({ kind: "output-ack", stream: "stdout", offset: 3 }));
  expect(session.readableBytes("stdout")).toBe(1000);
  session.finish({ code: 0 });
  drain(view);
  expect(view.receive(frameOf({ kind: "exit-ack" }))).toEqual({ kind: "exit-ack" });
  const again = session.attach({ id: "typist", shown: nothingShown, holdsBack: true });
  expect(again.stdinOffset).toBe(3);
});

test("SessionClient begins where its view does, and goes on from there", () => {
  const place = { stdout_offset: 7, stderr_offset: 0, stdout_end: 10, stderr_end: 2 };
  const client = new SessionClient();
  client.attached({ stdin_offset: 0, view: place });
  const output = encodeSessionFrame({ kind: "stdout", offset: 7, bytes: bytes("789") });
  expect(client.receive(only(output))).toMatchObject({ kind: "output", bytes: bytes("789") });
  expect(client.shownOffsets).toEqual({ stdout_offset: 10, stderr_offset: 0 });
  client.attached({ stdin_offset: 0, view: { ...place, stdout_offset: 10 } });
  const jump = { stdin_offset: 0, view: { ...place, stdout_offset: 11 } };
  expect(() => client.attached(jump)).toThrow(ProtocolError);
});

test("SessionClient keeps one size and one of each signal while nothing can be sent", () => {
  const client = new SessionClient();
  client.resize(24, 80);
  client.resize(50, 132);
  for (let count = 0; count < 1000; count++) client.signal(2);
  client.signal(15);
  const sent: Frame[] = [];
  for (let frame = client.poll(); frame !== undefined; frame = client.poll())
    sent.push(only(frame));
  expect(sent.map((frame) => frame.payload)).toEqual([
    Uint8Array.of(2),
    Uint8Array.of(15),
    Uint8Array.of(0, 50, 0, 132),
  ]);
});

function open(ringBytes?: number): SessionState {
  const budget = new OutputBudget();
  return new SessionState(ringBytes === undefined ? { budget } : { budget, ringBytes });
}

function drain(attachment: Pick<SessionAttachment, "poll">): ServerFrame[] {
  const frames: ServerFrame[] = [];
  for (let frame = attachment.poll(); frame !== undefined; frame = attachment.poll())
    frames.push(decodeServerFrame(only(frame)));
  return frames;
}

function frameOf(frame: ClientFrame): Frame {
  return only(encodeSessionFrame(frame));
}

function only(encoded: Uint8Array): Frame {
  const decoder = new FrameDecoder();
  decoder.feed(encoded);
  const frame = decoder.next();
  if (frame === undefined) throw new Error("Not a whole frame");
  return frame;
}
