import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../../support/free-port.ts";
import { DeafTerminal } from "../../../support/deaf-terminal.ts";
import { until } from "../../../support/link-stage.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { UdpRelay } from "../../../support/udp-relay.ts";
import type { TestSession } from "../../../support/test-session.ts";

/** What a terminal joined to a session is promised: keys that act at once, and the terminal back whatever happens. */

let vault: TestVault;
let relay: UdpRelay;
let client: PtyClient | undefined;

beforeAll(async () => {
  vault = await TestVault.open();
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  const [host = "", port = ""] = vault.address.split(":");
  relay = await UdpRelay.open({ host, port: Number(port) });
  await vault.configure({ address: `127.0.0.1:${relay.address.port}` });
});
afterEach(async () => {
  client?.close();
  client = undefined;
  for (const session of vault.sessions.values()) session.kill();
  vault.sessions.clear();
  vault.requests.length = 0;
  await relay[Symbol.asyncDispose]();
});

function start(...flags: string[]): PtyClient {
  client?.close();
  client = new PtyClient(["connect", "-q", "dev", ...flags], { ...vault.env, PS1: "prompt> " });
  return client;
}

/** Reads its keys, and has no connection yet. */
async function dialling(): Promise<PtyClient> {
  const terminal = start();
  await terminal.becomesRaw(true);
  return terminal;
}

async function connected(...flags: string[]): Promise<PtyClient> {
  const started = start(...flags);
  await started.shows(/[$#>] /);
  return started;
}

function only(): TestSession {
  const [session] = vault.sessions.values();
  if (session === undefined) throw new Error("No session");
  return session;
}

/** Whatever it was in the middle of is not waited for: none of that ends by itself. */
async function leaves(terminal: { child: Bun.Subprocess; type(keys: string): void }, code: number) {
  terminal.type("\r~.");
  expect(await terminal.child.exited).toBe(code);
}

test("~. ends the first dial as Ctrl-C does, and what it typed before is forgotten", async () => {
  relay.blackHole(60_000);
  const terminal = await dialling();
  await leaves(terminal, 130);
  expect(terminal.raw).toBeFalse();
  expect(vault.sessions.size).toBe(0);
});

test("what is typed while connecting is for the session, and shown by it alone", async () => {
  relay.blackHole(60_000);
  const terminal = await dialling();
  terminal.type("echo ahead-$((40+2))\r");
  await Bun.sleep(100);
  relay.blackHole(0);
  await terminal.shows(/ahead-42/);
  expect(terminal.text.match(/echo ahead/g)).toHaveLength(1);
});

test("~. leaves while the machine takes no input, and what was typed before stays typed", async () => {
  const terminal = await connected();
  const { promise, resolve } = Promise.withResolvers<void>();
  only().holdingInput = promise;
  // More than the window: from here on nothing is taken any more.
  const line = `# ${"x".repeat(1000)}\r`;
  for (let count = 0; count < 1300; count++) terminal.type(line);
  await Bun.sleep(500);
  await leaves(terminal, 0);
  expect(terminal.raw).toBeFalse();
  resolve();
});

test("what was typed before ~. is done, what comes after it is nobody's", async () => {
  const terminal = await connected();
  const folder = await mkdtemp(join(tmpdir(), "fv-left-"));
  try {
    terminal.type(`echo before > ${folder}/file\r~.echo after > ${folder}/file\r`);
    expect(await terminal.child.exited).toBe(0);
    const again = await connected();
    again.type("echo done-$((40+2))\r");
    await again.shows(/done-42/);
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("before\n");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("~. leaves while the terminal takes no output", async () => {
  const terminal = new DeafTerminal(["connect", "-q", "dev"], vault.env);
  try {
    await terminal.shows(/[$#>] /);
    terminal.type("yes | head -c 3000000\r");
    await Bun.sleep(700);
    await leaves(terminal, 0);
    expect(terminal.isRestored).toBeTrue();
  } finally {
    terminal.close();
  }
});

test("~. leaves in the middle of a flood of output", async () => {
  const terminal = await connected();
  terminal.type("yes\r");
  await terminal.shows(/y\r\ny\r\n/);
  await leaves(terminal, 0);
});

test("~x asks, and ends the session with the signal of a window that is closed", async () => {
  const terminal = await connected();
  terminal.type("~x");
  await terminal.shows(/end the session and what runs in it\? \[y\/N\] /);
  terminal.type("n\r");
  terminal.type("echo on-$((40+2))\r");
  await terminal.shows(/on-42/);
  terminal.type("~xy\r");
  expect(await terminal.exited()).toBe(129);
  expect(vault.requests).toContainEqual(
    expect.objectContaining({ type: "session-signal", signal: 1, to: "program" }),
  );
});

test("~C adds a forward and takes it away again, and is no dead end", async () => {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => void socket.end("from there"), data: () => undefined },
  });
  try {
    const terminal = await connected();
    const port = freePort();
    terminal.type(`~C-L ${port}:localhost:${server.port}x\u007f\r`);
    await terminal.shows(new RegExp(`127.0.0.1:${port} (->|→) dev localhost:${server.port}`));
    const answer = await new Promise<string>((resolve, reject) => {
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          data: (_socket, bytes) => resolve(bytes.toString()),
          connectError: (_s, e) => reject(e),
        },
      }).catch(reject);
    });
    expect(answer).toBe("from there");
    terminal.type(`~#`);
    terminal.type(`~C-KL ${port}\r`);
    await terminal.shows(new RegExp(`no longer forwarded: 127.0.0.1:${port}`));
    const from = terminal.text.length;
    terminal.type(`~C-KL ${port}\r~C-L nonsense\r~Cwhat\r~C\u0003`);
    await terminal.shows(
      /no forward listens on[^]*-L nonsense[^]*-L \[BIND:\]LOCAL:HOST:PORT[^]*fly-vault> \r\n/,
      from,
    );
    await Bun.sleep(20);
    terminal.type("~#");
    await terminal.shows(/no forwards/, from);
    terminal.type("echo on-$((40+2))\r");
    await terminal.shows(/on-42/);
  } finally {
    server.stop(true);
  }
});

test("~s says how the link is, up or down; ~B interrupts; ~P is no key where ports are off", async () => {
  const terminal = await connected("--auto-forward", "off");
  terminal.type("~s");
  await terminal.shows(/machine 148e21ea7e46e8 .*round trip (?:\d+|under 1) ms/);
  terminal.type("~B");
  await terminal.shows(/\^C|[$#>] /, terminal.text.length).catch(() => undefined);
  expect(only().signals).toEqual([2]);
  terminal.type("\r~P\r");
  await terminal.shows(/~P: (command )?not found|~P/);
  await vault.withoutLink(async () => {
    await terminal.shows(/link down/);
    terminal.type("\r~s");
    await terminal.shows(/link down for \d\d:\d\d, attempt \d+/);
  });
});

test("--escape takes another key, or none", async () => {
  const other = await connected("--escape", "^]");
  other.type("echo ~.\r");
  await other.shows(/~\.\r\n/);
  other.type("~.\r");
  await other.shows(/not found/);
  other.type("\u001d.");
  expect(await other.exited()).toBe(0);
  const none = await connected("--escape", "none");
  const from = none.text.length;
  none.type("~.\r");
  await none.shows(/not found/, from);
});

test("~^Z suspends the client for its shell; continued, it has its screen and asks for a repaint", async () => {
  const terminal = await connected();
  terminal.type(String.raw`printf '\033[?1049h\033[?2004hPAINTED'` + "\r");
  await terminal.shows(/PAINTED# $/);
  let from = terminal.text.length;
  terminal.type("\r~\u001a");
  await terminal.shows(/\[\?1049l.\[\?2004l/, from);
  await terminal.stopped();
  expect(terminal.raw).toBeFalse();
  from = terminal.text.length;
  const repaints = only().resizes.length;
  terminal.child.kill("SIGCONT");
  await terminal.shows(/\[\?1049h.\[\?2004h/, from);
  await terminal.becomesRaw(true);
  await until(() => only().resizes.length > repaints);
  await Bun.sleep(100);
  expect(only().resizes.slice(repaints)).toEqual(["30x100"]);
  terminal.type("echo still-$((40+2))\r");
  await terminal.shows(/still-42/);
});

/** On everything a screen program switches on. */
const paint = String.raw`printf '\033[?1049h\033[?25l\033[?1000h\033[?1006h\033[?2004hPAINTED'`;
const undone = ["\u001b[?1049l", "\u001b[?25h", "\u001b[?1000l", "\u001b[?1006l", "\u001b[?2004l"];

function expectRestored(terminal: PtyClient, from: number): void {
  expect(terminal.raw).toBeFalse();
  for (const sequence of undone) expect(terminal.text.slice(from)).toContain(sequence);
}

test("the terminal is restored after QUIT, and the process dies of it", async () => {
  const terminal = await connected();
  terminal.type(`${paint}\r`);
  await terminal.shows(/2004hPAINTED# $/);
  const from = terminal.text.length;
  terminal.child.kill("SIGQUIT");
  expect(await terminal.exited()).toBe(131);
  expect(terminal.child.signalCode).toBe("SIGQUIT");
  expectRestored(terminal, from);
});

test("the terminal is restored after a fault of the client itself", async () => {
  const file = join(vault.folder, "crash");
  const child = fileURLToPath(new URL("client-crash.child.ts", import.meta.url));
  client = new PtyClient([file, "connect", "-q", "dev"], vault.env, child);
  await client.shows(/[$#>] /);
  client.type(`${paint}\r`);
  await client.shows(/2004hPAINTED# $/);
  const from = client.text.length;
  writeFileSync(file, "");
  expect(await client.exited()).toBe(1);
  expect(client.text).toContain("a fault of ours");
  expectRestored(client, from);
});

test("each new size of the window gets there, without a key that is typed", async () => {
  const terminal = await connected();
  for (let rows = 31; rows < 40; rows++) {
    terminal.resize(rows, 90);
    await until(() => only().resizes.at(-1) === `${rows}x90`);
  }
});
