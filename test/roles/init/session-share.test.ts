import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { request } from "../../../src/protocol/message.ts";
import { sessionReplySchema } from "../../../src/protocol/session-message.ts";
import { limits } from "../../../src/protocol/limits.ts";
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

/** A program that answers each line with the size of its terminal. */
const sizeTeller = [
  "/bin/sh",
  "-c",
  "stty -echo; echo ready; while read line; do echo $line $(stty size) $line; done",
];

async function seenBy(client: TestClient, size: string): Promise<void> {
  await eventually(
    async () => sizeSeenBy(client),
    (seen) => seen === size,
  );
}

async function messageOf(outcome: Promise<unknown>): Promise<string> {
  return outcome.then(
    () => "nothing went wrong",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

async function sizeSeenBy(client: TestClient): Promise<string> {
  const question = crypto.randomUUID();
  await client.write(`${question}\n`);
  await client.until(` ${question}`);
  return client.stdout.split(question)[1]?.trim() ?? "";
}

test("the size is that of the smallest window of those who are there", async () => {
  const driver = await machine.open({ tty: true, rows: 30, cols: 100, argv: sizeTeller });
  const session = driver.reply.id;
  await driver.until("ready");
  const sharer = await machine.attach({ session, mode: "share", rows: 50, cols: 90 });
  await seenBy(driver, "30 90");
  await sharer.resize(20, 133);
  await seenBy(sharer, "20 100");
  await driver.resize(31, 101);
  await seenBy(driver, "20 101");
  // One that has no window says nothing about sizes.
  const plain = await machine.attach({ session, mode: "share" });
  await seenBy(plain, "20 101");

  driver.drop();
  await seenBy(sharer, "20 133");
  const third = await machine.attach({ session, mode: "share", rows: 25, cols: 70 });
  await seenBy(third, "20 70");

  const back = await machine.attach({ session, rows: 32, cols: 102 });
  for (const other of [sharer, plain, third]) expect(await codeOf(other.over())).toBe("taken-over");
  await seenBy(back, "32 102");
  await back.signal(9);
  await back.over();
});

test("a size that is said twice asks for a screen that is drawn anew", async () => {
  const script = "trap 'echo changed $(stty size)' WINCH; echo ready; while :; do sleep 0.01; done";
  const wish = { tty: true, rows: 30, cols: 100, argv: ["/bin/sh", "-c", script] };
  const driver = await machine.open(wish);
  await driver.until("ready");
  const sharer = await machine.attach({
    session: driver.reply.id,
    mode: "share",
    rows: 50,
    cols: 132,
  });
  expect(sharer.reply.stdout_end).toBe("ready\r\n".length);
  expect(driver.stdout).not.toContain("changed");
  await sharer.resize(50, 132);
  await Promise.all([sharer, driver].map((each) => each.until("changed 30 100\r\n")));
  // Told twice, of a row less and of all of them; a shell that is slow hears both at once.
  expect(driver.stdout).toMatch(/ready\r\n(?:changed 29 100\r\n)?(?:changed 30 100\r\n)+$/);
  await driver.signal(9);
  await driver.over();
});

test("the list says who has a session, since when, and whether on a terminal", async () => {
  const first = await machine.open({
    tty: true,
    name: "shown",
    rows: 9,
    cols: 9,
    client_label: "laptop-a",
  });
  const session = first.reply.id;
  await machine.attach({ session, mode: "share" });
  const listed = (await machine.sessions()).find((one) => one.session_id === session);
  expect(listed?.attachments).toEqual([
    { label: "laptop-a", since: expect.any(String), tty: true },
    { label: null, since: expect.any(String), tty: false },
  ]);
  const ageMs = Date.now() - Date.parse(listed?.attachments?.[0]?.since ?? "");
  expect(ageMs).toBeGreaterThanOrEqual(0);
  expect(ageMs).toBeLessThan(60_000);
  await first.signal(9);
  await first.over();
});

test("one that was taken over is told by whom, at once or when its link is back", async () => {
  const first = await machine.open({ client: "a", tty: true, client_label: "laptop-a" });
  const session = first.reply.id;
  const second = await machine.attach({ session, client: "b", client_label: "laptop-b" });
  expect(await messageOf(first.over())).toBe("laptop-b has taken this session over");

  second.drop();
  const third = await machine.attach({ session, client: "c", client_label: "laptop-c" });
  const { generation } = third.reply;
  const back = machine.resume(second, { session, client: "b", generation });
  expect(await messageOf(back)).toBe("laptop-c has taken this session over");
  // On purpose it may.
  const again = await machine.attach({ session, client: "b", client_label: "laptop-b" });
  expect(await codeOf(third.over())).toBe("taken-over");
  const returned = await machine.resume(again, { session, client: "b", generation });
  await returned.signal(9);
  await returned.over();
});

test("one that comes back after a lost link takes the session from nobody who shares it", async () => {
  const first = await machine.open({ client: "a", tty: true, argv: sizeTeller });
  const { id: session, generation } = first.reply;
  await first.until("ready");
  const sharer = await machine.attach({ session, client: "b", mode: "share" });
  first.drop();
  const back = await machine.resume(first, { session, client: "a", generation });
  await seenBy(sharer, await sizeSeenBy(back));
  // Also while the machine takes its old connection for alive.
  const again = await machine.resume(back, { session, client: "a", generation });
  expect(await codeOf(back.over())).toBe("taken-over");
  await seenBy(sharer, await sizeSeenBy(again));
  await again.signal(9);
  await Promise.all([again.over(), sharer.over()]);
});

test("of those who lost a session while away the last sixteen are remembered", async () => {
  const session = (await machine.open({ client: "c0", tty: true })).reply.id;
  const clients = [];
  for (let count = 1; count <= limits.inputsMax + 2; count++)
    clients.push(await machine.attach({ session, client: `c${count}` }));
  const { generation } = clients[0]?.reply ?? { generation: "" };
  expect(await codeOf(machine.attach({ session, generation, client: "c2" }))).toBe("taken-over");
  const forgotten = await machine.attach({ session, generation, client: "c0" });
  await forgotten.signal(9);
  await forgotten.over();
});

test("all who share may type, and none of them ends the stdin of the others", async () => {
  const driver = await machine.open({ argv: ["cat"] });
  const sharer = await machine.attach({ session: driver.reply.id, mode: "share" });
  await sharer.write("from the side\n");
  await Promise.all([driver.until("from the side\n"), sharer.until("from the side\n")]);
  await sharer.endInput();
  await driver.write("from the front\n");
  await sharer.until("from the front\n");
  await driver.endInput();
  expect((await sharer.outcome()).exit).toEqual({ code: 0 });
  expect((await driver.outcome()).stdout).toBe("from the side\nfrom the front\n");
});

test("a client that shares and does not read holds nobody back, and is told what it missed", async () => {
  const driver = await machine.open({
    argv: ["/bin/sh", "-c", "read go; head -c 20000000 /dev/zero; exit 3"],
  });
  const session = driver.reply.id;
  const [slow, quick] = [
    await machine.attach({ session, mode: "share" }),
    await machine.attach({ session, mode: "share" }),
  ];
  for (const client of [driver, slow, quick]) client.keepOutput = false;
  slow.reading = false;
  await driver.write("go\n");
  await Promise.all([driver.over(), quick.over()]);
  expect(driver).toMatchObject({ receivedBytes: 20_000_000, lostBytes: 0, exit: { code: 3 } });
  expect(quick.receivedBytes + quick.lostBytes).toBe(20_000_000);
  slow.reading = true;
  await slow.over();
  expect(slow.lostBytes).toBeGreaterThan(0);
  expect(slow.receivedBytes + slow.lostBytes).toBe(20_000_000);
  expect(slow.exit).toEqual({ code: 3 });
});

test("leaving is not the end of stdin: the session runs on, unattached, until somebody comes back", async () => {
  const first = await machine.open({ name: "left-alone", tty: true });
  await first.write("mark=kept; echo here\n");
  await first.until("here\r\n");
  await first.leave();
  await first.over();
  expect(first.exit).toBeUndefined();
  const session = (await machine.sessions()).find((one) => one.name === "left-alone");
  expect(session).toMatchObject({ state: "running", attached: false, clients: 0, exit: null });
  const second = await machine.attach({ session: "left-alone" });
  await second.write("echo $mark-$mark; exit 4\n");
  const { stdout, exit } = await second.outcome();
  expect(stdout).toContain("\nkept-kept");
  expect(exit).toEqual({ code: 4 });
});

test("a driver comes back however many share its session", async () => {
  let driver = await machine.open({ client: "owner", argv: ["cat"] });
  const session = driver.reply.id;
  const sharers = [];
  driver.drop();
  await driver.over().catch(() => undefined);
  await eventually(
    async () => machine.sessions(),
    (all) => all.every((one) => one.session_id !== session || one.clients === 0),
  );
  for (let count = 0; count < initLimits.clientsPerSessionMax; count++)
    sharers.push(await machine.attach({ session, mode: "share" }));
  expect(await codeOf(machine.attach({ session, mode: "share" }))).toBe("limit");
  driver = await machine.resume(driver, { session, client: "owner" });
  // One too many: who has been there longest makes room.
  const [oldest, ...others] = sharers;
  expect(await codeOf(oldest?.over() ?? Promise.resolve())).toBe("taken-over");
  await driver.endInput();
  for (const client of [driver, ...others])
    expect((await client.outcome()).exit).toEqual({ code: 0 });
});

test("one who takes over from a driver that is away waits for nobody but itself", async () => {
  const script = "head -c 12000000 /dev/zero; echo end; exit 5";
  const away = await machine.open({ argv: ["/bin/sh", "-c", script] });
  away.reading = false;
  away.drop();
  const heir = await machine.attach({ session: away.reply.id });
  heir.keepOutput = false;
  await heir.over();
  expect(heir.exit).toEqual({ code: 5 });
  expect(heir.lostBytes).toBe(0);
});

test("nothing follows the error that tells of a take-over", async () => {
  const id = crypto.randomUUID();
  const frames = new FrameStream(await machine.connect());
  const type = "session-open";
  await request(frames, { type, id, client: id, tty: false, argv: ["yes"] }, sessionReplySchema);
  // Until the machine waits to write more to us.
  await Bun.sleep(200);
  const heir = await machine.attach({ session: id });
  heir.keepOutput = false;
  const types: number[] = [];
  for (let frame = await frames.read(); frame !== null; frame = await frames.read())
    types.push(frame.type);
  expect(types.indexOf(frameTypes.error)).toBe(types.length - 1);
  await heir.signal(9);
  await heir.over();
});
