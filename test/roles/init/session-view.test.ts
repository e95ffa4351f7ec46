import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { limits } from "../../../src/protocol/limits.ts";
import type { SessionAttachRequest, SessionList } from "../../../src/protocol/session-message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { codeOf, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";
import type { TestClient } from "./test-client.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

async function view(
  session: string,
  wish: Partial<SessionAttachRequest> = {},
): Promise<TestClient> {
  return machine.attach({ session, mode: "view", ...wish });
}

async function listed(id: string): Promise<SessionList["sessions"][number] | undefined> {
  return (await machine.sessions()).find((session) => session.session_id === id);
}

test("a viewer sees what the client sees, counts as none, and takes nothing over", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const { id } = client.reply;
  await client.write("one\n");
  await client.until("one\n");
  const viewer = await view(id);
  expect(viewer.reply).toMatchObject({
    created: false,
    view: { stdout_offset: 0, stderr_offset: 0, stdout_end: 4, stderr_end: 0 },
  });
  expect(await listed(id)).toMatchObject({ clients: 1, attached: true });
  await client.write("two\n");
  await viewer.until("one\ntwo\n");
  await client.endInput();
  expect(await client.outcome()).toEqual({ stdout: "one\ntwo\n", stderr: "", exit: { code: 0 } });
  expect(await viewer.outcome()).toEqual({ stdout: "one\ntwo\n", stderr: "", exit: { code: 0 } });
});

test("a viewer alone leaves the session unattached", async () => {
  const client = await machine.open({ argv: ["sleep", "100"] });
  const { id } = client.reply;
  client.drop();
  const viewer = await view(id);
  await eventually(
    async () => listed(id),
    (session) => session?.attached === false,
  );
  const again = await machine.attach({ session: id });
  await again.signal(9);
  expect((await viewer.outcome()).exit).toEqual({ signal: 9 });
});

test("only the last bytes of each stream, and how far they reached", async () => {
  const script = "seq 1 1000; seq 1 10 >&2; read line; echo more";
  const client = await machine.open({ argv: ["/bin/sh", "-c", script] });
  await client.until("1000\n");
  const viewer = await view(client.reply.id, { tail_bytes: 10 });
  const { view: place } = viewer.reply;
  expect(place).toMatchObject({ stdout_offset: 3883, stdout_end: 3893 });
  await viewer.until("999\n1000\n");
  await client.write("\n");
  expect((await viewer.outcome()).stdout).toBe("\n999\n1000\nmore\n");
  // One that does not follow stops at the ends it was told.
  const all = await view(client.reply.id, { tail_bytes: 1_000_000 });
  expect(all.reply.view).toEqual({
    stdout_offset: 0,
    stderr_offset: 0,
    stdout_end: 3898,
    stderr_end: 21,
  });
  expect((await all.outcome()).stdout).toHaveLength(3898);
});

test("a viewer that was cut off goes on where it was", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const { id } = client.reply;
  await client.write("a".repeat(1000));
  const viewer = await view(id, { tail_bytes: 400 });
  await eventually(
    async () => viewer.receivedBytes,
    (bytes) => bytes >= 400,
  );
  viewer.drop();
  await viewer.over().catch(() => undefined);
  await client.write("b".repeat(100));
  await client.endInput();
  await client.over();
  const again = await machine.resume(viewer, { session: id, client: "v", mode: "view" });
  const { stdout, exit } = await again.outcome();
  expect(stdout).toEndWith("b".repeat(100));
  expect(stdout).toHaveLength(1100 - (viewer.reply.view?.stdout_offset ?? 0));
  expect(again.lostBytes).toBe(0);
  expect(exit).toEqual({ code: 0 });
});

test("the end of a session is read as often as one likes, also after its client has noted it", async () => {
  const script = "echo out; echo err >&2; exit 9";
  const { id } = (await machine.open({ argv: ["/bin/sh", "-c", script] })).reply;
  await machine.attach({ session: id }).then(async (client) => client.over());
  for (let round = 0; round < 3; round++)
    expect(await (await view(id)).outcome()).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      exit: { code: 9 },
    });
});

test("what is kept no more is a gap that says how much", async () => {
  const flood =
    "stty raw -echo; echo ready; read go; head -c 6000000 /dev/zero; echo end; sleep 100";
  const client = await machine.open({ tty: true, argv: ["/bin/sh", "-c", flood] });
  const { id } = client.reply;
  await client.until("ready");
  client.keepOutput = false;
  await client.write("go\n");
  await eventually(
    async () => client.receivedBytes,
    (bytes) => bytes > 6_000_000,
  );
  const viewer = await view(id);
  await viewer.until("end\n");
  expect(viewer.lostBytes).toBeGreaterThan(6_000_000 - limits.ringBytes - 1024);
  expect(viewer.receivedBytes + viewer.lostBytes).toBe(6_000_000 + "ready\nend\n".length);
  await client.signal(9);
  await viewer.over();
});

test.each([
  ["stdin", async (viewer: TestClient) => viewer.write("x")],
  ["its end", async (viewer: TestClient) => viewer.endInput()],
  ["a size", async (viewer: TestClient) => viewer.resize(1, 1)],
  ["a signal", async (viewer: TestClient) => viewer.signal(9)],
])("%s from a viewer is refused, and the session goes on", async (_, send) => {
  const client = await machine.open({ argv: ["cat"] });
  const viewer = await view(client.reply.id);
  await send(viewer);
  expect(await codeOf(viewer.over())).toBe("bad-request");
  await client.write("unharmed");
  await client.endInput();
  expect(await client.outcome()).toMatchObject({ stdout: "unharmed", exit: { code: 0 } });
});

test("a viewer's size is nobody's", async () => {
  const script = "read line; stty size";
  const argv = ["/bin/sh", "-c", script];
  const client = await machine.open({ tty: true, rows: 33, cols: 99, argv });
  await view(client.reply.id, { rows: 5, cols: 5 });
  await client.write("\n");
  expect((await client.outcome()).stdout).toContain("33 99");
});

test("a viewer that does not read holds nothing back, and is told what it missed", async () => {
  const client = await machine.open({
    argv: ["/bin/sh", "-c", "read go; head -c 20000000 /dev/zero; exit 3"],
  });
  client.keepOutput = false;
  const viewer = await view(client.reply.id);
  viewer.keepOutput = false;
  viewer.reading = false;
  await client.write("go\n");
  await client.over();
  expect(client).toMatchObject({ receivedBytes: 20_000_000, lostBytes: 0, exit: { code: 3 } });
  viewer.reading = true;
  await viewer.over();
  expect(viewer.lostBytes).toBeGreaterThan(0);
  expect(viewer.receivedBytes + viewer.lostBytes).toBe(20_000_000);
  expect(viewer.exit).toEqual({ code: 3 });
});

test("any number of viewers, one after the other, costs no client its place in stdin", async () => {
  const client = await machine.open({ client: "typist", argv: ["cat"] });
  const { id } = client.reply;
  await client.write("first ");
  await client.until("first ");
  for (let round = 0; round < limits.inputsMax + 4; round++) (await view(id)).drop();
  client.drop();
  await client.over().catch(() => undefined);
  const again = await machine.resume(client, { session: id, client: "typist" });
  expect(again.reply.stdin_offset).toBe(6);
  await again.write("second");
  await again.endInput();
  expect((await again.outcome()).stdout).toBe("first second");
});

test("no more than viewersPerSessionMax look on at once, and they keep no client out", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const { id } = client.reply;
  const viewers = [];
  for (let count = 0; count < initLimits.viewersPerSessionMax; count++)
    viewers.push(await view(id));
  expect(await codeOf(view(id))).toBe("limit");
  const other = await machine.attach({ session: id });
  expect(await codeOf(client.over())).toBe("taken-over");
  viewers[0]?.drop();
  await eventually(
    async () =>
      view(id).then(
        () => "seen",
        async (error: unknown) => codeOf(Promise.reject(error)),
      ),
    (outcome) => outcome === "seen",
  );
  await other.endInput();
  for (const viewer of viewers.slice(1)) expect((await viewer.outcome()).exit).toEqual({ code: 0 });
});

test("claims of a viewer that cannot be true are refused", async () => {
  const client = await machine.open({ argv: ["cat"] });
  const { id } = client.reply;
  expect(await codeOf(view(id, { stdout_offset: 1 }))).toBe("bad-request");
  expect(await codeOf(view(id, { generation: "another" }))).toBe("gone");
  expect(await codeOf(view("nobody"))).toBe("not-found");
  await client.endInput();
  expect((await client.outcome()).exit).toEqual({ code: 0 });
});
