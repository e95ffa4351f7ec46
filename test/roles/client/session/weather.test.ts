import { expect, setDefaultTimeout, test } from "bun:test";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { machineGate } from "../../../../src/quic/admission-gate.ts";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../../src/quic/admission-key.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { until } from "../../../support/link-stage.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { runClient, spawnClient } from "../../../support/client-process.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { UdpRelay } from "../../../support/udp-relay.ts";
import { seed } from "../../../support/seed.ts";

setDefaultTimeout(120_000);

/** The client over a network that behaves badly. Each test waits for it more than it works, so they wait together. */
class Weather implements AsyncDisposable {
  readonly vault: TestVault;
  readonly relay: UdpRelay;
  readonly #clients: PtyClient[] = [];

  private constructor(vault: TestVault, relay: UdpRelay) {
    this.vault = vault;
    this.relay = relay;
  }

  static async open(): Promise<Weather> {
    const vault = await TestVault.open();
    const [host = "", port = ""] = vault.address.split(":");
    const relay = await UdpRelay.open({ host, port: Number(port) }, { seed });
    await vault.configure({ address: `127.0.0.1:${relay.address.port}` });
    return new Weather(vault, relay);
  }

  start(...words: string[]): PtyClient {
    const client = new PtyClient(words, this.vault.env);
    this.#clients.push(client);
    return client;
  }

  async connected(...words: string[]): Promise<PtyClient> {
    const client = this.start("connect", "-q", "dev", ...words);
    await client.shows(/[$#>] /);
    return client;
  }

  async exec(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const context = memoryContext({ env: this.vault.env });
    const code = await main(["exec", "-q", "dev", "--", ...argv], context);
    return { code, out: context.out(), err: context.err() };
  }

  async echo(length: number): Promise<void> {
    const input = pattern(length);
    const { code, out, err } = await runClient(["exec", "-q", "dev", "cat"], this.vault.env, input);
    expect({ code, err, length: out.length }).toEqual({ code: 0, err: "", length });
    expect(Bun.hash(out)).toBe(Bun.hash(input));
  }

  /** Until the transfer is under way. */
  async flows(): Promise<void> {
    while (this.relay.counts.forwarded < 500) await Bun.sleep(10);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.relay[Symbol.asyncDispose]();
    await this.vault.close();
  }
}

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 11 + (i >> 13)) & 0xff;
  return bytes;
}

test.concurrent(
  "loss, repeats, other orders and a new address three times a second cost no byte",
  async () => {
    await using weather = await Weather.open();
    const { relay } = weather;
    relay.set({ loss: 0.03, duplicate: 0.02, reorder: 0.03, reorderMs: 5, delayMs: 3 });
    const running = weather.echo(8 << 20);
    await weather.flows();
    const rebinding = setInterval(() => void relay.rebind(), 300);
    try {
      await running;
    } finally {
      clearInterval(rebinding);
    }
  },
);

test.concurrent("a black hole of 8 s in the middle costs no byte", async () => {
  await using weather = await Weather.open();
  weather.relay.set({ delayMs: 2 });
  const running = weather.echo(24 << 20);
  await weather.flows();
  weather.relay.blackHole(8000);
  await running;
});

/** Both ways at once, over a terminal that changes no byte; the status line is drawn in between. */
test.concurrent(
  "on a terminal nothing is lost or doubled over a lost link, a new address, a stopped client and a dead path",
  async () => {
    await using weather = await Weather.open();
    const { vault, relay } = weather;
    const script = "stty raw -echo; printf READY; exec cat";
    const words = ["exec", "-q", "-t", "--escape", "none", "dev", "sh", "-c", script];
    const client = weather.start(...words);
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
    await client.shows(new RegExp(`${sent.at(-1)}`), 0, 30_000);
    expect(received().length).toBe(whole.length);
    expect(Bun.SHA256.hash(received(), "hex")).toBe(Bun.SHA256.hash(whole, "hex"));
  },
);

test.concurrent("a dead path is shown, left by ~., and loses nothing on return", async () => {
  await using weather = await Weather.open();
  const { relay } = weather;
  const [staying, leaving] = await Promise.all([
    weather.connected(),
    weather.connected("--session", "other"),
  ]);
  const from = staying.text.length;
  relay.blackHole(60_000);
  staying.type("echo while-$((40+2))\r");
  leaving.type("x");
  await Promise.all([staying, leaving].map((one) => one.shows(/link down/)));
  leaving.type("\r~.");
  expect(await leaving.child.exited).toBe(0);
  relay.blackHole(0);
  await staying.shows(/while-42/, from, 15_000);
  expect(staying.text.slice(from).match(/while-42/g)).toHaveLength(1);
});

test.concurrent("after a sleep the same connection goes on from a new socket", async () => {
  await using weather = await Weather.open();
  const { vault } = weather;
  await vault.configure({});
  const client = await weather.connected();
  const before = vault.remotePorts;
  client.child.kill("SIGSTOP");
  await Bun.sleep(5600);
  const from = client.text.length;
  client.child.kill("SIGCONT");
  client.type("echo awake-$((6*7))\r");
  await client.shows(/awake-42/, from);
  await until(() => vault.remotePorts.join() !== before.join());
  expect(vault.connectionCount).toBe(1);
});

/** On everything a screen program switches on. */
const paint = String.raw`printf '\033[?1049h\033[?25l\033[?1000h\033[?1006h\033[?2004hPAINTED'`;
const undone = ["\u001b[?1049l", "\u001b[?25h", "\u001b[?1000l", "\u001b[?1006l", "\u001b[?2004l"];

test.concurrent("the terminal is restored when the link is lost for good", async () => {
  await using weather = await Weather.open();
  const { vault } = weather;
  const terminal = await weather.connected("--reconnect", "1s");
  terminal.type(`${paint}\r`);
  await terminal.shows(/2004hPAINTED# $/);
  const from = terminal.text.length;
  await vault.withoutLink(async () => expect(await terminal.exited()).toBe(255));
  expect(terminal.raw).toBeFalse();
  for (const sequence of undone) expect(terminal.text.slice(from)).toContain(sequence);
  expect(terminal.text).toContain("FV-NET-003");
});

test.concurrent(
  "a link lost for longer than --reconnect is 255 and names the session",
  async () => {
    await using weather = await Weather.open();
    const { vault } = weather;
    const script = "echo up; sleep 30";
    const words = ["exec", "-q", "--reconnect", "300ms", "dev", "--", "sh", "-c", script];
    const child = spawnClient(words, vault.env);
    await child.stdout.getReader().read();
    await vault.withoutLink(async () => expect(await child.exited).toBe(255));
    const err = await child.stderr.text();
    const session = [...vault.sessions.values()].at(-1);
    expect(err).toContain(`fly-vault attach dev ${session?.id}`);
    expect(session?.ended).toBeFalse();
  },
);

test.concurrent("a machine that Fly makes wait is asked again, and not for ever", async () => {
  await using weather = await Weather.open();
  const { vault } = weather;
  vault.mints = 0;
  vault.failingMints = 2;
  expect(await weather.exec("echo", "ok")).toMatchObject({ code: 0, out: "ok\n" });
  expect(vault.mints).toBe(3);
  vault.mints = 0;
  vault.failingMints = 1000;
  const { code, err } = await weather.exec("x");
  expect(code).toBe(6);
  expect(err).toContain("FV-ATT-008");
  vault.failingMints = 0;
});

test.concurrent("nobody at the address is exit 6 within the dial limit", async () => {
  await using weather = await Weather.open();
  const { vault } = weather;
  await vault.configure({ address: "127.0.0.1:9" });
  const { code, err } = await weather.exec("x");
  expect(code).toBe(6);
  expect(err).toContain('error: "dev" did not answer');
  expect(err).toContain("that the machine has no admission key (else set admission_key)");
});

test.concurrent(
  "a machine with an admission key is silent but for clients that have it",
  async () => {
    await using weather = await Weather.open();
    const { vault } = weather;
    const key = deriveAdmissionKey(new Uint8Array(32).fill(1), 1, "148e21ea7e46e8");
    const other = { ...key, key: new Uint8Array(32) };
    await vault.restartLink(0, machineGate([key], Date.now));
    await vault.configure({ admission_key: formatAdmissionKey(key) });
    expect(await weather.exec("echo", "in")).toMatchObject({ code: 0, out: "in\n" });
    await vault.configure({ admission_key: formatAdmissionKey(other) });
    const refused = await weather.exec("x");
    expect(refused.code).toBe(6);
    expect(refused.err).toContain("this computer's clock is right, and that admission_key is");
    expect(refused.err).not.toContain(formatAdmissionKey(other).slice(-20));
  },
);

for (const key of ["~.", "\u0003"])
  test.concurrent(
    `${JSON.stringify(key)} while a cold machine is provisioned stops it there, and connects nowhere`,
    async () => {
      await using weather = await Weather.open();
      const { vault } = weather;
      vault.vmState = "cold";
      const rootfs = join(vault.folder, "rootfs.tar");
      await writeFile(rootfs, "");
      await truncate(rootfs, 2 ** 32);
      await vault.configure({ rootfs });
      const terminal = weather.start("connect", "dev");
      while (vault.uploaded === 0) await Bun.sleep(5);
      expect(terminal.raw).toBeTrue();
      terminal.type(`\r${key}`);
      expect(await terminal.exited()).toBe(130);
      expect(terminal.raw).toBeFalse();
      expect(terminal.text).toContain('cancelled; "dev" is as it was');
      expect(vault.requests.map(({ type }) => type)).toEqual(["provision", "provision-cancel"]);
      expect(vault.sessions.size).toBe(0);
    },
  );
