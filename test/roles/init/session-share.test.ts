import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { FrameStream, frameTypes } from "../../../src/protocol/frame.ts";
import { request, sessionReplySchema } from "../../../src/protocol/message.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { codeOf, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";
import type { TestClient } from "./test-client.ts";

setDefaultTimeout(60_000);

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

async function sizeSeenBy(client: TestClient): Promise<string> {
  const question = crypto.randomUUID();
  await client.write(`${question}\n`);
  await client.until(` ${question}`);
  return client.stdout.split(question)[1]?.trim() ?? "";
}

test("the size is the driver's; a client that shares has a say while there is no driver", async () => {
  const driver = await machine.open({ tty: true, rows: 30, cols: 100, argv: sizeTeller });
  const session = driver.reply.id;
  await driver.until("ready");
  const sharer = await machine.attach({ session, mode: "share", rows: 50, cols: 132 });
  expect(await sizeSeenBy(driver)).toBe("30 100");
  await sharer.resize(51, 133);
  expect(await sizeSeenBy(sharer)).toBe("30 100");
  await driver.resize(31, 101);
  expect(await sizeSeenBy(driver)).toBe("31 101");

  driver.drop();
  await eventually(
    async () => {
      await sharer.resize(52, 134);
      return sizeSeenBy(sharer);
    },
    (size) => size === "52 134",
  );
  const third = await machine.attach({ session, mode: "share", rows: 20, cols: 70 });
  expect(await sizeSeenBy(third)).toBe("20 70");

  const back = await machine.attach({ session, rows: 32, cols: 102 });
  expect(await codeOf(sharer.over())).toBe("taken-over");
  expect(await codeOf(third.over())).toBe("taken-over");
  expect(await sizeSeenBy(back)).toBe("32 102");
  await back.signal(9);
  await back.over();
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
  for (const sharer of sharers) expect(await codeOf(sharer.over())).toBe("taken-over");
  await driver.endInput();
  expect((await driver.outcome()).exit).toEqual({ code: 0 });
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
