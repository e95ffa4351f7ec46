import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import { sessionDocuments } from "../../../../src/roles/client/session/session-json.ts";
import { spawnClient } from "../../../support/client-process.ts";
import { RealVault } from "../../../support/real-vault.ts";

setDefaultTimeout(120_000);

/** Commands that nobody waits for, with a real init and its real sessions. */
let vault: RealVault;
beforeAll(async () => {
  vault = await RealVault.boot();
});
afterAll(async () => {
  await vault[Symbol.asyncDispose]();
});

const shell = (script: string) => ["--", "sh", "-c", script];
/** What a command runs that goes on when it is told to, however long that takes; and what tells it. */
const untilTold = (name: string) => `while [ ! -e /tmp/${name} ]; do sleep 0.05; done`;
const tell = async (name: string) => vault.machine.shell(`: > /tmp/${name}`);

/** The member `data` of a document, checked. */
function dataOf(text: string, name: keyof typeof sessionDocuments): unknown {
  expect(text).toEndWith("}\n");
  const { schema, version, data } = JSON.parse(text) as Record<string, unknown>;
  expect([schema, version]).toEqual([`fly-vault/${name}`, 1]);
  return v.parse(v.strictObject({ data: sessionDocuments[name] }), { data }).data;
}

async function start(name: string, script: string, flags: readonly string[] = []): Promise<string> {
  const { code, out, err } = await vault.run([
    "run",
    "dev",
    "--name",
    name,
    ...flags,
    ...shell(script),
  ]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^[0-9a-f]{32}\n$/);
  return out.trim();
}

test("no sessions are nothing on stdout and a line on stderr", async () => {
  await using fresh = await RealVault.boot();
  const { code, out, err } = await fresh.run(["sessions", "dev"]);
  expect([code, out]).toEqual([0, ""]);
  expect(err).toStartWith('no sessions on "dev" yet (fly-vault run dev -- COMMAND)');
  expect((await fresh.run(["sessions", "-q", "dev"])).err).toBe("");
});

test("run leaves at once, with an empty stdin; wait brings the command's own code", async () => {
  const id = await start("build", `cat; ${untilTold("build")}; echo done; exit 42`);
  const listed = await vault.run(["sessions", "dev"]);
  expect(listed.out).toMatch(/^NAME +COMMAND +STATE +ATTACHED +STARTED +OUTPUT +NOTE\n/);
  expect(listed.out).toMatch(/\nbuild +sh -c '.+' +running +no +\d{4}-\S+Z +0 B\n/);
  await tell("build");
  expect(await vault.run(["wait", "dev", "build"])).toEqual({ code: 42, out: "", err: "" });
  expect((await vault.run(["wait", "dev", id])).code).toBe(42);
  expect((await vault.run(["wait", "dev", id.slice(0, 6)])).code).toBe(42);
  const json = await vault.run(["wait", "--json", "dev", "build"]);
  expect(dataOf(json.out, "wait")).toEqual({
    session_id: id,
    exit_code: 42,
    ended_by: "exit",
    signal: null,
  });
  expect((await vault.run(["sessions", "dev"])).out).toContain("exited 42");
  expect(await vault.run(["logs", "dev", "build"])).toEqual({ code: 0, out: "done\n", err: "" });
  expect((await vault.run(["attach", "dev", "build"])).code).toBe(42);
  expect((await vault.run(["exec", "--session", "build", "dev"])).code).toBe(42);
});

test("the vault is left out where the environment says which, or there is only one", async () => {
  await start("only", "echo done");
  await vault.run(["wait", "dev", "only"]);
  const client = spawnClient(["logs", "only"], { ...vault.env, FLY_VAULT_VAULT: "dev" });
  await client.stdin.end();
  expect(await client.stdout.text()).toBe("done\n");
  expect((await vault.run(["logs", "only"])).out).toBe("done\n");
});

test("an unknown session is exit 3 with the nearest name", async () => {
  await start("nightly", "true");
  for (const command of ["logs", "attach", "wait", "kill"]) {
    const { code, out, err } = await vault.run([command, "dev", "nihgtly"]);
    expect([code, out]).toEqual([3, ""]);
    expect(err).toContain('error: there is no session "nihgtly" on "dev" (did you mean nightly?)');
    expect(err).toContain("FV-SES-001");
  }
  const json = await vault.run(["kill", "--json", "dev", "nobody"]);
  expect(JSON.parse(json.err)).toMatchObject({ error: { code: "FV-SES-001", exit: 3 } });
});

test("a name that runs is taken, unless --attach goes to it", async () => {
  await start("taken", `echo mine; ${untilTold("taken")}; exit 4`);
  const again = await vault.run(["run", "dev", "--name", "taken", ...shell("echo other")]);
  expect([again.code, again.out]).toEqual([7, ""]);
  expect(again.err).toContain('a session "taken" runs already on "dev"');
  const joining = vault.run(["run", "--attach", "--name", "taken", "dev", ...shell("echo x")]);
  while (!/\ntaken .* running +1 /.test((await vault.run(["sessions", "dev"])).out));
  await tell("taken");
  expect(await joining).toEqual({ code: 4, out: "mine\n", err: "" });
  // It has ended, and its name is free.
  const fresh = await vault.run(["run", "--attach", "--name", "taken", "dev", ...shell("echo y")]);
  expect(fresh).toEqual({ code: 0, out: "y\n", err: "" });
});

test("signals by name and number; the table says what ended it", async () => {
  await start("deaf", "trap 'echo int; exit 9' INT; echo up; while :; do sleep 0.1; done");
  await untilLogged("deaf", "up\n");
  expect(await vault.run(["kill", "-s", "sigint", "dev", "deaf"])).toEqual({
    code: 0,
    out: "",
    err: "",
  });
  expect((await vault.run(["wait", "dev", "deaf"])).code).toBe(9);
  const late = await vault.run(["kill", "dev", "deaf"]);
  expect([late.code, late.err.includes("FV-SES-005")]).toEqual([1, true]);
  await start("victim", "sleep 100");
  await vault.run(["kill", "-s", "9", "dev", "victim"]);
  expect((await vault.run(["wait", "dev", "victim"])).code).toBe(137);
  await start("terminated", "exec sleep 100");
  await vault.run(["kill", "dev", "terminated"]);
  expect((await vault.run(["wait", "dev", "terminated"])).code).toBe(143);
  const { out } = await vault.run(["sessions", "dev"]);
  expect(out).toMatch(/victim .* killed by SIGKILL/);
  expect(out).toMatch(/terminated .* killed by SIGTERM/);
  const wrong = await vault.run(["kill", "-s", "NOPE", "dev", "victim"]);
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("--signal NOPE is none")]);
});

test("a wait that runs out of time is 124, and so is a command that did", async () => {
  await start("long", "sleep 100");
  const { code, err } = await vault.run(["wait", "--timeout", "200ms", "dev", "long"]);
  expect([code, err.includes("FV-SES-004")]).toEqual([124, true]);
  await vault.run(["kill", "-s", "KILL", "dev", "long"]);
  await start("limited", "sleep 100", ["--timeout", "300ms"]);
  const { code: limited, out } = await vault.run(["wait", "--json", "dev", "limited"]);
  expect(limited).toBe(124);
  expect(dataOf(out, "wait")).toMatchObject({
    exit_code: 124,
    ended_by: "timeout",
    signal: "SIGTERM",
  });
  expect((await vault.run(["sessions", "dev"])).out).toMatch(/limited .* timed out/);
  const list = JSON.parse((await vault.run(["list-exec", "dev"])).out) as Record<string, unknown>[];
  expect(list.find((one) => one["name"] === "limited")).toMatchObject({
    exit_code: 124,
    attached: false,
  });
});

describe("logs", () => {
  beforeAll(async () => {
    await start("lines", "seq 1 5; echo oops >&2; printf last");
    await vault.run(["wait", "dev", "lines"]);
  });

  test.each([
    [[], "1\n2\n3\n4\n5\nlast", "oops\n"],
    [["--tail", "2"], "5\nlast", "oops\n"],
    [["--tail=0"], "", ""],
    [["--tail", "100"], "1\n2\n3\n4\n5\nlast", "oops\n"],
    [["--tail-bytes", "6"], "5\nlast", "oops\n"],
    [["--tail-bytes", "3"], "ast", "ps\n"],
    [["-f"], "1\n2\n3\n4\n5\nlast", "oops\n"],
  ])("%j", async (flags, out, err) => {
    expect(await vault.run(["logs", ...flags, "dev", "lines"])).toEqual({ code: 0, out, err });
  });

  test("of one that runs: what is there, and not a byte of what comes later", async () => {
    await start("chatty", "yes");
    // It has hardly written yet.
    while (/chatty .* running .* \d{1,3} B/.test((await vault.run(["sessions", "dev"])).out));
    const { code, out } = await vault.run(["logs", "dev", "chatty", "--tail-bytes", "1000"]);
    expect([code, out.length]).toEqual([0, 1000]);
    await vault.run(["kill", "dev", "chatty"]);
  });

  test("-f goes on over a link that dies, each byte once, and ends with the session", async () => {
    await start("slow", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done; exit 3");
    const following = vault.run(["logs", "-f", "dev", "slow"]);
    const waiting = vault.run(["wait", "dev", "slow"]);
    await untilLogged("slow", "2");
    await vault.restartLink();
    expect(await following).toEqual({ code: 0, out: "1\n2\n3\n4\n5\n6\n7\n8\n", err: "" });
    expect((await waiting).code).toBe(3);
  });

  test("-f ends quietly when its reader has had enough", async () => {
    await start("endless", "while :; do echo on; sleep 0.01; done");
    const client = spawnClient(["logs", "-f", "dev", "endless"], vault.env);
    const reader = client.stdout.getReader();
    await reader.read();
    await reader.cancel();
    expect(await client.stderr.text()).toBe("");
    expect(await client.exited).toBe(141);
    expect((await vault.run(["sessions", "dev"])).out).toMatch(/endless .* running/);
    await vault.run(["kill", "dev", "endless"]);
  });
});

test("what nobody reads holds no command up", async () => {
  await start("flood", "head -c 9000000 /dev/zero | tr '\\0' x; echo; echo end");
  expect(await vault.run(["wait", "--timeout", "20s", "dev", "flood"])).toMatchObject({ code: 0 });
  const { out, err } = await vault.run(["logs", "dev", "flood"]);
  expect(out).toEndWith("xxx\nend\n");
  expect(out.length).toBeGreaterThan(1024 * 1024);
  expect(err).toMatch(/^… \d+\.\d MiB of stdout were dropped …\n$/);
});

describe("attach", () => {
  test("--share leaves the other client its session, the default takes it over", async () => {
    await start("shared", "trap 'exit 5' USR1; while :; do echo tick; sleep 0.1; done");
    const first = spawnClient(["attach", "dev", "shared"], vault.env);
    await first.stdout.getReader().read();
    const sharing = spawnClient(["attach", "dev", "shared", "--share"], vault.env);
    await sharing.stdout.getReader().read();
    expect((await vault.run(["sessions", "dev"])).out).toMatch(/shared .* running +2 /);
    const third = spawnClient(["attach", "dev", "shared"], vault.env);
    await third.stdout.getReader().read();
    expect([await first.exited, await sharing.exited]).toEqual([7, 7]);
    const err = await first.stderr.text();
    expect(err).toContain("FV-SES-002");
    expect(err).toMatch(/fix: {3}fly-vault attach dev [0-9a-f]{32} {2}takes it back/);
    await vault.run(["kill", "-s", "USR1", "dev", "shared"]);
    expect(await third.exited).toBe(5);
    const both = await vault.run(["attach", "--share", "--take-over", "dev", "shared"]);
    expect(both.code).toBe(2);
  });

  test("the end of our input is no Ctrl-D at its terminal", async () => {
    await start("screen", "stty size; sleep 0.4; read line; echo got $line", ["-t"]);
    const { out } = await vault.run(["run", "-t", "dev", ...shell("tty")]);
    expect((await vault.run(["wait", "dev", out.trim()])).code).toBe(0);
    expect((await vault.run(["logs", "dev", out.trim()])).out).toMatch(/^\/dev\/pts\/\d+\r\n$/);
    const typed = await vault.run(["attach", "dev", "screen"], "words\n");
    expect(typed.out).toContain("24 80\r\n");
    expect(typed.out).toContain("got words\r\n");
    expect(typed.code).toBe(0);
  });
});

test("a session is renamed, and found by both", async () => {
  const id = await start("before", "sleep 100");
  await start("other", "sleep 100");
  expect((await vault.run(["session", "rename", "dev", "before", "after"])).code).toBe(0);
  expect((await vault.run(["session", "rename", "dev", "after", "other"])).code).toBe(7);
  expect((await vault.run(["session", "rename", "dev", "after", "a b"])).code).toBe(2);
  expect((await vault.run(["kill", "dev", "after"])).code).toBe(0);
  expect((await vault.run(["wait", "dev", id])).code).toBe(143);
  await vault.run(["kill", "dev", "other"]);
});

test("--json has every session with its note; tabs keep columns apart", async () => {
  const note = "nightly, <b>";
  const flags = ["--context", note, "-e", "A=1", "-w", "/tmp", "-u", "root"];
  const id = await start("noted", "echo $A $PWD; exit 1", flags);
  await vault.run(["wait", "dev", "noted"]);
  expect((await vault.run(["logs", "dev", "noted"])).out).toBe("1 /tmp\n");
  const { out, err } = await vault.run(["sessions", "--json", "dev"]);
  expect(err).toBe("");
  const list = dataOf(out, "sessions") as Record<string, unknown>[];
  expect(list.find((one) => one["session_id"] === id)).toMatchObject({
    name: "noted",
    argv: ["sh", "-c", "echo $A $PWD; exit 1"],
    context: note,
    cwd: "/tmp",
    state: "ended",
    attached: false,
    stdout_bytes: 7,
    exit_code: 1,
    ended_by: "exit",
  });
  const tabs = await vault.run(["sessions", "-o", "tsv", "dev"]);
  const line = tabs.out.split("\n").find((one) => one.startsWith("noted"));
  expect(line?.split("\t").slice(2, 4)).toEqual(["exited 1", "no"]);
  expect(line).toEndWith(`\t7 B\t${note}`);
  const started = await vault.run(["run", "--json", "dev", "--", "true"]);
  expect(dataOf(started.out, "run")).toMatchObject({ name: null });
});

test("commands that were seen to their end are listed with --all alone", async () => {
  await vault.run(["exec", "--session", "seen", "dev", "--", "true"]);
  expect((await vault.run(["sessions", "dev"])).out).not.toContain("seen");
  expect((await vault.run(["sessions", "--all", "dev"])).out).toMatch(/\nseen +true +exited 0 /);
});

async function untilLogged(session: string, text: string): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    const { out } = await vault.run(["logs", "dev", session]);
    if (out.includes(text)) return;
    if (performance.now() > deadlineMs) throw new Error(`${session} never wrote ${text}: ${out}`);
  }
}
