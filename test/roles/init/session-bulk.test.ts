import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** exec as a pipe, by the gigabyte and by the thousand. */

const MiB = 1024 * 1024;

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

const bulkMiB = process.env["FV_SOAK"] === undefined ? 256 : 1024;

test(`${bulkMiB} MiB each way arrive whole, and the keeper's memory stays flat`, async () => {
  const client = await machine.open({ argv: ["cat"] });
  client.keepOutput = false;
  const [sent, received] = [createHash("sha256"), createHash("sha256")];
  client.onOutput = (_, bytes) => void received.update(bytes);
  const random = crypto.getRandomValues(new Uint8Array(64 * 1024));
  let warm = 0;
  let peak = 0;
  for (let block = 0; block < bulkMiB * 16; block++) {
    // What was written is kept for resending: each block is an array of its own.
    const bytes = random.slice();
    new DataView(bytes.buffer).setUint32(4 * (block % 16_000), block);
    sent.update(bytes);
    await client.write(bytes);
    if (block === 1024) warm = residentBytes();
    if (block % 256 === 0) peak = Math.max(peak, residentBytes());
  }
  await client.endInput();
  await client.over();
  expect(client).toMatchObject({ receivedBytes: bulkMiB * MiB, lostBytes: 0, exit: { code: 0 } });
  expect(received.digest("hex")).toBe(sent.digest("hex"));
  expect(peak - warm).toBeLessThan(64 * MiB);
});

test("1 000 short commands leave no descriptor, no process and no memory behind", async () => {
  // What ended is remembered: only when that is full, nothing more may grow.
  for (let count = 0; count < 2 * initLimits.finishedMax; count++) await machine.run(["true"]);
  const before = {
    descriptors: machine.openDescriptors(),
    processes: machine.descendants().length,
    residentBytes: residentBytes(),
  };
  for (let count = 0; count < 1000; count++)
    expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
  await eventually(
    async () => machine.openDescriptors(),
    (count) => count <= before.descriptors,
  );
  await untilFew(before.processes);
  expect(machine.zombies()).toEqual([]);
  expect(residentBytes() - before.residentBytes).toBeLessThan(32 * MiB);
  expect((await machine.sessions()).length).toBeLessThanOrEqual(initLimits.finishedMax + 1);
});

test("100 terminals that come and go leave no descriptor and no process behind", async () => {
  const before = {
    descriptors: machine.openDescriptors(),
    processes: machine.descendants().length,
  };
  for (let count = 0; count < 100; count++)
    expect((await machine.run(["true"], { tty: true })).exit).toEqual({ code: 0 });
  await eventually(
    async () => machine.openDescriptors(),
    (count) => count <= before.descriptors,
  );
  await untilFew(before.processes);
});

async function untilFew(processes: number): Promise<void> {
  await eventually(
    async () => machine.descendants().length,
    (count) => count <= processes,
  );
}

function residentBytes(): number {
  const status = readFileSync(`/proc/${machine.pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}
