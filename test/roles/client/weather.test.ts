import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { PtyClient } from "../../support/pty-client.ts";
import { runClient } from "../../support/client-process.ts";
import { TestVault } from "../../support/test-vault.ts";
import { UdpRelay } from "../../support/udp-relay.ts";
import { seed } from "../../support/seed.ts";

/** The client as a process, over a network that behaves badly. */
let vault: TestVault;
let relay: UdpRelay;

beforeAll(async () => {
  vault = await TestVault.open();
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  const [host = "", port = ""] = vault.address.split(":");
  relay = await UdpRelay.open({ host, port: Number(port) }, { seed });
  await vault.configure({ address: `127.0.0.1:${relay.address.port}` });
});
afterEach(async () => {
  await relay[Symbol.asyncDispose]();
});

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 11 + (i >> 13)) & 0xff;
  return bytes;
}

async function echo(length: number): Promise<void> {
  const input = pattern(length);
  const { code, out, err } = await runClient(["exec", "-q", "dev", "cat"], vault.env, input);
  expect({ code, err, length: out.length }).toEqual({ code: 0, err: "", length });
  expect(Bun.hash(out)).toBe(Bun.hash(input));
}

test("loss, repeats, other orders and a new address three times a second cost no byte", async () => {
  relay.set({ loss: 0.03, duplicate: 0.02, reorder: 0.03, reorderMs: 5, delayMs: 3 });
  const rebinding = setInterval(() => void relay.rebind(), 300);
  try {
    await echo(12 << 20);
  } finally {
    clearInterval(rebinding);
  }
}, 40_000);

test("a black hole of 8 s in the middle costs no byte", async () => {
  relay.set({ delayMs: 2 });
  const running = echo(24 << 20);
  await Bun.sleep(700);
  relay.blackHole(8000);
  await running;
}, 45_000);

test("a console shows a dead path within 8 s, leaves on ~. and loses nothing on return", async () => {
  const client = new PtyClient(["connect", "-q", "dev"], vault.env);
  try {
    await client.shows(/[$#>] /);
    const from = client.text.length;
    relay.blackHole(60_000);
    client.type("echo while-$((40+2))\r");
    await client.shows(/link down/, from, 9000);
    relay.blackHole(0);
    await client.shows(/while-42/, from, 15_000);
    expect(client.text.slice(from).match(/while-42/g)).toHaveLength(1);
    const later = client.text.length;
    relay.blackHole(60_000);
    client.type("x");
    await client.shows(/link down/, later, 9000);
    const startedMs = performance.now();
    client.type("\r~.");
    expect(await client.child.exited).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(300);
  } finally {
    client.close();
  }
}, 45_000);
