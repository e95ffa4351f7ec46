import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { PtyClient } from "../../../support/pty-client.ts";
import { runClient } from "../../../support/client-process.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { UdpRelay } from "../../../support/udp-relay.ts";
import { seed } from "../../../support/seed.ts";

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

/** Both ways at once, over a terminal that changes no byte; the status line is drawn in between. */
test("on a terminal nothing is lost or doubled over a lost link, a new address, a stopped client and a dead path", async () => {
  const script = "stty raw -echo; printf READY; exec cat";
  const words = ["exec", "-q", "-t", "--escape", "none", "dev", "sh", "-c", script];
  const client = new PtyClient(words, vault.env);
  try {
    await client.shows(/READY/);
    const sent: string[] = [];
    const type = async (lines: number): Promise<void> => {
      for (let line = 0; line < lines; line++) {
        sent.push(`${sent.length} ${Bun.hash(String(sent.length)).toString(36)};`);
        client.type(sent.at(-1) ?? "");
        if (line % 200 === 0) await Bun.sleep(1);
      }
    };
    const received = (): string =>
      // oxlint-disable-next-line no-control-regex -- the status line's own sequences
      client.text.replaceAll(/(?:\u001bD\u001bM)?\u001b7[^]*?\u001b8/g, "").split("READY")[1] ?? "";
    await type(10_000);
    const restarting = vault.restartLink(400);
    await type(10_000);
    await restarting;
    await relay.rebind();
    await type(5000);
    client.child.kill("SIGSTOP");
    await type(100);
    await Bun.sleep(300);
    client.child.kill("SIGCONT");
    relay.blackHole(1500);
    await type(10_000);
    const whole = sent.join("");
    await client.shows(new RegExp(`${sent.at(-1)}`), 0, 20_000);
    expect(received().length).toBe(whole.length);
    expect(Bun.SHA256.hash(received(), "hex")).toBe(Bun.SHA256.hash(whole, "hex"));
  } finally {
    client.close();
  }
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
