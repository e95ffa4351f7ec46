import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

const MiB = 1024 * 1024;

let machine: TestMachine;

/** A machine that keeps 1 MiB of each stream and 3 MiB in all. */
beforeAll(async () => {
  machine = await TestMachine.boot({
    env: { VAULT_SESSION_OUTPUT: "1M", VAULT_SESSION_OUTPUT_TOTAL: "3MiB" },
  });
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** What is still there of both streams of a session that has ended. */
async function keptOf(session: string): Promise<number> {
  const viewer = await machine.attach({ session, mode: "view" });
  viewer.keepOutput = false;
  await viewer.over();
  return viewer.receivedBytes;
}

test("each stream keeps what the machine is set to, and a reader in step loses nothing of it", async () => {
  const script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
  const client = await machine.open({ name: "each", argv: ["/bin/sh", "-c", script] });
  client.keepOutput = false;
  await client.over();
  expect(client).toMatchObject({ receivedBytes: 6_000_000, lostBytes: 0, exit: { code: 0 } });
  expect(await keptOf(client.reply.id)).toBe(2 * MiB);
});

test("all sessions together keep no more than the machine is set to", async () => {
  const ids = (await machine.sessions()).map((session) => session.session_id);
  for (let count = 0; count < 4; count++) {
    const client = await machine.open({
      name: `total-${count}`,
      argv: ["head", "-c", "2000000", "/dev/zero"],
    });
    client.keepOutput = false;
    await client.over();
    ids.push(client.reply.id);
  }
  let sum = 0;
  for (const id of ids) sum += await keptOf(id);
  expect(sum).toBeLessThanOrEqual(3 * MiB);
  expect(sum).toBeGreaterThan(2 * MiB);
});
