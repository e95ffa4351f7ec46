import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { PtyClient } from "../../../support/pty-client.ts";
import { runClient } from "../../../support/client-process.ts";
import { TestVault } from "../../../support/test-vault.ts";

let vault: TestVault;
let client: PtyClient;

beforeAll(async () => {
  vault = await TestVault.open();
});
afterAll(async () => {
  await vault.close();
});
beforeEach(() => {
  client = new PtyClient(["connect", "-q", "dev"], { ...vault.env, PS1: "prompt> " });
});
afterEach(() => {
  client.close();
  for (const session of vault.sessions.values()) session.kill();
  vault.sessions.clear();
  vault.forgetConnections();
});

/** On everything a screen program switches on. */
const paint = String.raw`printf '\033[?1049h\033[?25l\033[?1000h\033[?1006h\033[?2004hPAINTED'`;
const undone = ["\u001b[?1049l", "\u001b[?25h", "\u001b[?1000l", "\u001b[?1006l", "\u001b[?2004l"];

async function prompt(): Promise<void> {
  await client.shows(/[$#>] /);
}

test("a shell: raw mode, size, TERM, its own exit code, the terminal given back", async () => {
  await prompt();
  expect(client.raw).toBeTrue();
  client.type("stty size; echo $TERM\r");
  await client.shows(/30 100\r\nxterm-256color/);
  client.resize(40, 120);
  await client.typesUntil("stty size\r", /40 120/);
  // A line feed alone goes straight down: nobody on the way makes more of it.
  const from = client.text.length;
  client.type("stty -opost; printf 'a\\nb'; stty opost\r");
  await client.shows(/a\nb/, from);
  client.type("exit 7\r");
  expect(await client.exited()).toBe(7);
  expect(client.raw).toBeFalse();
});

test("~. leaves at once and the session goes on; the next client finds it with its screen", async () => {
  await prompt();
  client.type("MARK=here; echo $MARK\r");
  await client.shows(/\nhere/);
  client.type("~.");
  expect(await client.exited()).toBe(0);
  expect(client.raw).toBeFalse();
  client.close();
  client = new PtyClient(["connect", "-q", "dev"], vault.env);
  await client.shows(/here/);
  client.type("echo again-$MARK\r");
  await client.shows(/again-here/);
  expect(vault.sessions.size).toBe(1);
});

test("after the shell has ended the next connect starts a new one", async () => {
  await prompt();
  client.type("exit 3\r");
  expect(await client.exited()).toBe(3);
  client.close();
  client = new PtyClient(["connect", "-q", "dev"], vault.env);
  await prompt();
  client.type("exit 4\r");
  expect(await client.exited()).toBe(4);
});

test("~? shows the keys; other bytes after ~ are passed on", async () => {
  await prompt();
  client.type("~?");
  await client.shows(/~\. {2}leave; the session goes on/);
  client.type("echo ~/x ~~y\r");
  await client.shows(/\/x ~~y/);
});

for (const [name, signal, code] of [
  ["TERM", "SIGTERM", 143],
  ["HUP", "SIGHUP", 129],
  ["INT from outside", "SIGINT", 130],
] as const) {
  test(`the terminal is restored after ${name}`, async () => {
    await prompt();
    client.type(`${paint}\r`);
    await client.shows(/2004hPAINTED# $/);
    const from = client.text.length;
    client.child.kill(signal);
    expect(await client.exited()).toBe(code);
    expect(client.raw).toBeFalse();
    for (const sequence of undone) expect(client.text.slice(from)).toContain(sequence);
  });
}

test("the terminal is restored when the session is taken over", async () => {
  await prompt();
  client.type(`${paint}\r`);
  await client.shows(/2004hPAINTED# $/);
  const from = client.text.length;
  [...vault.sessions.values()][0]?.refuse("taken-over");
  expect(await client.exited()).toBe(7);
  expect(client.raw).toBeFalse();
  for (const sequence of undone) expect(client.text.slice(from)).toContain(sequence);
  expect(client.text).toContain("FV-SES-002");
});

test("nothing is undone that was not done", async () => {
  await prompt();
  const from = client.text.length;
  client.type("~.");
  await client.exited();
  expect(client.text.slice(from)).not.toContain("\u001b[");
});

test("a link that goes down is shown, and the session comes back by itself", async () => {
  await prompt();
  const from = client.text.length;
  await vault.withoutLink(async () => {
    await client.shows(/link down \d\d:\d\d · retrying \(\d+\) · ~\. leaves, session stays/, from);
    client.type("echo typed-while-down\r");
  });
  await client.shows(/\ntyped-while-down/, from);
  expect(client.text.slice(from).match(/\ntyped-while-down/g)).toHaveLength(1);
});

test("~. leaves while the link is down", async () => {
  await prompt();
  const from = client.text.length;
  await vault.withoutLink(async () => {
    await client.shows(/link down/, from);
    client.type("~.");
    expect(await client.child.exited).toBe(0);
  });
  expect(client.raw).toBeFalse();
});

test("stopped and continued from outside, the terminal is given back and taken again", async () => {
  await prompt();
  client.child.kill("SIGTSTP");
  await client.stopped();
  expect(client.raw).toBeFalse();
  client.child.kill("SIGCONT");
  await client.becomesRaw(true);
  client.type("echo still-$((40+2))\r");
  await client.shows(/still-42/);
});

test("a window that is closed ends the client and not the session", async () => {
  await prompt();
  client.hangUp();
  const code = await client.child.exited;
  expect(code).toBe(129);
  expect([...vault.sessions.values()].map(({ ended }) => ended)).toEqual([false]);
});

test("Ctrl-C while connecting ends at once", async () => {
  client.close();
  await vault.configure({ address: "127.0.0.1:9" });
  client = new PtyClient(["connect", "-q", "dev"], vault.env);
  await client.becomesRaw(true);
  client.type("\u0003");
  // Had it gone on to dial to the end it would say that nobody answers.
  expect(await client.child.exited).toBe(130);
  expect(client.raw).toBeFalse();
  await vault.configure({});
});

test("without a terminal stdin is a script for a shell of its own", async () => {
  const script = new TextEncoder().encode("echo from-stdin; exit 9\n");
  const { code, out } = await runClient(["connect", "-q", "dev"], vault.env, script);
  expect({ code, out: new TextDecoder().decode(out) }).toEqual({ code: 9, out: "from-stdin\n" });
});

test("exec -t gives the command a terminal and its status", async () => {
  client.close();
  const words = ["exec", "-q", "-t", "dev", "sh", "-c", "stty size; exit 6"];
  client = new PtyClient(words, vault.env);
  expect(await client.exited()).toBe(6);
  expect(client.text).toContain("30 100");
  expect(client.raw).toBeFalse();
});
