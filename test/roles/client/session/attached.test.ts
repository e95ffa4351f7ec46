import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { hostname } from "node:os";
import { killSessions } from "../../init/ask.ts";
import { TestMachine } from "../../init/machine.ts";
import type { LinkConnection } from "../../../../src/roles/client/link/attested-link.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { RemoteError } from "../../../../src/protocol/errors.ts";
import { asFailure } from "../../../../src/roles/client/link/remote-failure.ts";
import { withWayBack } from "../../../../src/roles/client/session/shell-way-back.ts";
import { Keyboard } from "../../../../src/roles/client/session/keyboard.ts";
import { shellPlan } from "../../../../src/roles/client/session/shell-plan.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { TestVault } from "../../../support/test-vault.ts";

setDefaultTimeout(120_000);

/** Two clients and one session, with the sessions of a real init. */

let vault: TestVault;
let machine: TestMachine;
const clients: PtyClient[] = [];

beforeAll(async () => {
  machine = await TestMachine.boot();
  vault = await TestVault.open();
  vault.keeper = async () => machine.connect();
});
afterAll(async () => {
  await vault.close();
  await machine[Symbol.asyncDispose]();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await killSessions(machine);
});

function start(words: readonly string[], env: Readonly<Record<string, string>> = {}): PtyClient {
  const client = new PtyClient(["connect", "-q", "dev", ...words], { ...vault.env, ...env });
  clients.push(client);
  return client;
}

async function connected(...words: string[]): Promise<PtyClient> {
  const client = start(words);
  await client.shows(/[$#] /);
  return client;
}

const here = hostname().split(".")[0];
const question = new RegExp(
  String.raw`session "main" is attached on ${here} \([^)]+ ago\): \[take over\] share new `,
);

test("who finds the session in use is asked; Enter takes it over, and the other is told by whom", async () => {
  const first = await connected();
  first.type("MARK=kept\r");
  const second = start([]);
  await second.shows(question);
  expect(first.child.exitCode).toBeNull();
  second.type("\r");
  expect(await first.exited()).toBe(7);
  expect(first.text).toContain(`${here} has taken this session over`);
  expect(first.text).toContain("FV-SES-002");
  second.type("echo $MARK-$((40+2))\r");
  await second.shows(/kept-42/);
});

test("an answer that is none is asked again; sharing, both type and see, in the smaller window", async () => {
  const first = await connected();
  const second = start([]);
  await second.shows(question);
  second.resize(20, 80);
  second.type("perhaps\r");
  await second.shows(/new perhaps\r+\n.*new $/);
  second.type("sh\r");
  await second.shows(/[$#] /);
  second.type("echo from-second-$((40+2))\r");
  await first.shows(/from-second-42/);
  // A repaint for the newcomer makes it a row smaller for a moment.
  await second.typesUntil("stty size\r", /\r\n20 80/);
  await first.shows(/\r\n20 80/);
  first.type("echo from-first-$((40+2))\r");
  await second.shows(/from-first-42/);
  second.type("\r~.");
  expect(await second.exited()).toBe(0);
  await first.typesUntil("stty size\r", /30 100/);
});

test("new is a session beside it; Ctrl-C and ~. go without having done anything", async () => {
  const first = await connected();
  const second = start([]);
  await second.shows(question);
  second.type("n\r");
  await second.shows(/[$#] /);
  const running = (await machine.sessions()).filter(({ state }) => state === "running");
  expect(running.map(({ name }) => name)).toEqual(["main", expect.stringMatching(/^main-\d+$/)]);
  for (const [keys, code] of [
    ["\u0003", 130],
    ["~.", 0],
    ["\u0004", 0],
  ] as const) {
    const third = start([]);
    await third.shows(question);
    third.type(keys);
    expect(await third.exited()).toBe(code);
    expect(third.raw).toBeFalse();
  }
  expect(first.child.exitCode).toBeNull();
});

test("--take-over, --share, --new and --session ask nothing", async () => {
  const first = await connected("--session", "work");
  const sharer = await connected("--session", "work", "--share");
  sharer.type("echo hello-$((40+2))\r");
  await first.shows(/hello-42/);
  const beside = await connected("--session", "work", "--new");
  const taken = await connected("--session", "work", "--new");
  taken.type("~.");
  expect(await taken.exited()).toBe(0);
  expect(taken.text).toContain("(fly-vault connect dev --session work-3)");
  const running = (await machine.sessions()).filter(({ state }) => state === "running");
  expect(running.map(({ name }) => name)).toEqual(["work", "work-2", "work-3"]);
  const heir = await connected("--session", "work", "--take-over");
  expect(await first.exited()).toBe(7);
  expect(first.text).toContain("fly-vault connect dev --session work  takes it back");
  expect(await sharer.exited()).toBe(7);
  heir.type("exit 3\r");
  expect(await heir.exited()).toBe(3);
  beside.type("exit 4\r");
  expect(await beside.exited()).toBe(4);
});

test("a free name that somebody else was quicker to take is left to them, for the next, shellTriesMax times", async () => {
  await machine.open({ name: "main", tty: true });
  const connection = { openStream: async () => machine.connect() } as LinkConnection;
  const context = memoryContext({ env: {} });
  const wish = { name: "main", sharing: "new" } as const;
  const { first, shell } = shellPlan(wish, new Keyboard(context.stdin, undefined), {}, context);
  expect(first).toHaveLength(2 + clientLimits.shellTriesMax);
  const wanted = new Set<string>();
  for (const next of first.slice(1)) {
    const message = typeof next === "function" ? await next(connection) : next;
    expect(message).toMatchObject({ type: "session-open", name: shell() });
    expect(shell()).toMatch(/^main-\d+$/);
    wanted.add(shell());
    await machine.open({ name: shell(), tty: true });
  }
  expect(wanted.size).toBe(1 + clientLimits.shellTriesMax);
});

test("a shell that is gone is started anew by connect; a command that is gone is not connect's", async () => {
  const gone = new RemoteError("gone", "Session a1 is gone");
  const anew = "fly-vault connect dev  starts a new one";
  expect(await withWayBack(gone, "dev", "main")).toMatchObject({ fix: anew });
  const work = "fly-vault connect dev --session work  starts a new one";
  expect(await withWayBack(gone, "dev", "work")).toMatchObject({ fix: work });
  const listed = "fly-vault sessions dev --all  lists what is there";
  expect(asFailure(gone, "dev")).toMatchObject({ fix: listed });
});

test("one who is not to be asked takes it over, as does a script", async () => {
  const first = await connected();
  const second = start([], { CI: "1" });
  expect(await first.exited()).toBe(7);
  await second.shows(/[$#] /);
  expect(second.text).not.toContain("is attached");
});

test("one who was taken over while the link was down is told when it is back, and takes nothing", async () => {
  const first = await connected();
  first.child.kill("SIGSTOP");
  const second = await connected("--take-over");
  first.child.kill("SIGCONT");
  expect(await first.exited()).toBe(7);
  second.type("echo mine-$((40+2))\r");
  await second.shows(/mine-42/);
});

test("a kind of terminal the machine does not know travels along, once; else another takes its place", async () => {
  const env = { TERM: "fv-test-terminal", TERMINFO: `${vault.folder}/terminfo` };
  const described = `fv-test-terminal|a terminal of a test,\n\tam, cols#80, clear=\\E[H\\E[2J, cup=\\E[%i%p1%d;%p2%dH,\n`;
  await Bun.write(`${vault.folder}/source.ti`, described);
  Bun.spawnSync(["tic", "-o", env.TERMINFO, `${vault.folder}/source.ti`]);
  const pushed = start(["--session", "pushed"], env);
  await pushed.shows(/[$#] /);
  pushed.type("echo $TERM; ls -l ~/.terminfo/f/*; exit\r");
  await pushed.shows(/\r\nfv-test-terminal\r\n-rw-r--r-- .*root.*\/fv-test-terminal\r\n/);
  expect(pushed.text).not.toContain("is not known");

  // As on an image with a database that lacks it.
  const known = "mkdir -p /etc/terminfo/x; : > /etc/terminfo/x/xterm-256color; rm -r ~/.terminfo";
  await machine.shell(known);
  await vault.configure({ terminfo: "fallback" });
  const substituted = start(["--session", "substituted"], env);
  await substituted.shows(
    /TERM=fv-test-terminal is not known there; the session has xterm-256color/,
  );
  substituted.type("echo $TERM; ls -d ~/.terminfo; exit\r");
  await substituted.shows(/\r\nxterm-256color\r\nls: .*No such file/);

  await vault.configure({ terminfo: "off" });
  const left = start(["--session", "left"], env);
  await left.shows(/[$#] /);
  left.type("echo $TERM; exit\r");
  await left.shows(/\r\nfv-test-terminal\r\n/);
  expect(left.text).not.toContain("is not known");
  await vault.configure({});
});

test("languages travel where the machine has them, also without a terminal; else C.UTF-8", async () => {
  await machine.shell("mkdir -p /usr/lib/locale/de_DE.utf8");
  const env = { ...vault.env, LANG: "de_DE.UTF-8", LC_TIME: "fr_FR.UTF-8", LC_ALL: "" };
  const words = ["exec", "-q", "dev", "sh", "-c", "echo $LANG $LC_TIME [$LC_ALL] [$TERM]"];
  const child = Bun.spawn([process.execPath, "src/main.ts", ...words], { env, stdout: "pipe" });
  expect(await new Response(child.stdout).text()).toBe("de_DE.UTF-8 C.UTF-8 [] []\n");
});
