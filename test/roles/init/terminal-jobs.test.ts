import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import * as v from "valibot";
import type { SessionSignalRequest } from "../../../src/protocol/session-message.ts";
import { ask, eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";
import type { TestClient } from "./test-client.ts";

setDefaultTimeout(120_000);

/** Job control, and what becomes of whom when a terminal's program ends. */

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** A login shell at its first prompt. */
async function shell(): Promise<TestClient> {
  const client = await machine.open({ tty: true });
  // Cut, so that the echo of what is typed is not what is waited for.
  await client.write("echo rea''dy\n");
  // A control character typed before the prompt would be the line discipline's, not the shell's.
  await client.until("ready\r\n~ # ");
  return client;
}

async function signal(wish: Omit<SessionSignalRequest, "type">): Promise<void> {
  await ask(machine, { type: "session-signal", ...wish }, v.strictObject({}));
}

/** Prints 1 for a process whose group is in the foreground of its terminal. */
function inFront(pattern: string): string {
  const pids = `ps -o pid,args | awk '/${pattern}/ {print $1}'`;
  return `for pid in $(${pids}); do awk '{print $5 == $8}' /proc/$pid/stat; done`;
}

/** Waits until so many processes inside have these words. */
async function untilRunning(words: string, count: number): Promise<void> {
  const pattern = `[${words.slice(0, 1)}]${words.slice(1)}`;
  await eventually(
    async () => (await machine.shell(`ps -o args | grep -c '${pattern}'; true`)).stdout.trim(),
    (seen) => seen === String(count),
  );
}

test("^\\ ends the program in the foreground by SIGQUIT, and only it", async () => {
  const client = await shell();
  await client.write("sleep 1111; echo after=$?\n");
  await untilRunning("sleep 1111", 1);
  await client.write("\x1c");
  await client.until("after=131");
  await client.write("exit 0\n");
  expect((await client.outcome()).exit).toEqual({ code: 0 });
});

test("^C reaches the whole pipeline in the foreground, and no job in the background", async () => {
  const client = await shell();
  await client.write("sleep 1211 & sleep 1212 | sleep 1213; echo after\n");
  await untilRunning("sleep 121", 3);
  await client.write("\x03");
  await untilRunning("sleep 1212", 0);
  await untilRunning("sleep 1213", 0);
  await untilRunning("sleep 1211", 1);
  await client.write("kill %1; exit 0\n");
  await client.over();
});

test("^Z stops, bg lets it go on behind, fg brings it to the front again", async () => {
  const client = await shell();
  await client.write("sleep 1311\n");
  await untilRunning("sleep 1311", 1);
  await client.write("\x1a");
  await client.until("Stopped");
  await client.write("bg; echo behind=$?\n");
  await client.until("behind=0");
  await client.write("jobs; echo lis''ted\n");
  await client.until("listed");
  expect(client.stdout).toContain("Running");
  await client.write("fg\n");
  await eventually(
    async () => machine.shell(inFront("[s]leep 1311")),
    ({ stdout }) => stdout === "1\n",
  );
  await client.write("\x03");
  await client.until("^C\r\n~ # ");
  await client.write("echo ended=$?\n");
  await client.until("ended=130");
  await client.write("exit 0\n");
  expect((await client.outcome()).exit).toEqual({ code: 0 });
});

test("a program that is stopped has not ended", async () => {
  const client = await machine.open({ argv: ["sleep", "1411"] });
  const { id } = client.reply;
  await signal({ session: id, signal: 19 });
  await eventually(
    async () => (await machine.shell("ps -o stat,args | grep '[s]leep 1411'; true")).stdout,
    (line) => line.startsWith("T"),
  );
  const session = (await machine.sessions()).find((one) => one.session_id === id);
  expect(session).toMatchObject({ state: "running", exit: null });
  await signal({ session: id, signal: 18 });
  await signal({ session: id, signal: 15 });
  expect((await client.outcome()).exit).toEqual({ signal: 15 });
});

test("^S holds the output, ^Q lets it go on", async () => {
  const client = await shell();
  await client.write("\x13");
  await client.write("echo he''ld\n");
  expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
  expect(client.stdout).not.toContain("held");
  await client.write("\x11");
  await client.until("held");
  await client.write("exit 0\n");
  await client.over();
});

test("^D at the prompt ends the shell; the end of stdin is the same", async () => {
  const typed = await shell();
  await typed.write("\x04");
  expect((await typed.outcome()).exit).toEqual({ code: 0 });
  const ended = await shell();
  await ended.endInput();
  expect((await ended.outcome()).exit).toEqual({ code: 0 });
});

test("every exit code and death by each of 15 signals arrive from a terminal as well", async () => {
  for (let code = 0; code < 256; code++) {
    const { exit } = await machine.shell(`exit ${code}`, { tty: true });
    expect(exit).toEqual({ code });
  }
  for (let number = 1; number <= 15; number++) {
    const client = await machine.open({ tty: true, argv: ["sleep", "100"] });
    await client.signal(number);
    expect((await client.outcome()).exit).toEqual({ signal: number });
  }
});

test("a shell that is killed hangs up its terminal: the foreground ends, what asked to stay stays", async () => {
  const client = await shell();
  await client.write("(trap '' HUP; exec sleep 1511) &\n");
  await client.write("sleep 1512\n");
  await untilRunning("sleep 151", 2);
  await signal({ session: client.reply.id, signal: 9, to: "program" });
  expect((await client.outcome()).exit).toEqual({ signal: 9 });
  await untilRunning("sleep 1512", 0);
  await untilRunning("sleep 1511", 1);
});

test("SIGHUP to the program ends a shell and what is in its foreground", async () => {
  const client = await shell();
  await client.write("sleep 1612\n");
  await untilRunning("sleep 1612", 1);
  await signal({ session: client.reply.id, signal: 1, to: "program" });
  expect((await client.outcome()).exit).toEqual({ signal: 1 });
  await untilRunning("sleep 1612", 0);
});

test("output of a job behind the shell is there up to the shell's end, and not waited for after it", async () => {
  const client = await shell();
  await client.write("(echo fir''st; sleep 1711; echo la''te) &\n");
  await client.until("first");
  await client.write("exit 3\n");
  const { stdout, exit } = await client.outcome();
  expect(exit).toEqual({ code: 3 });
  expect(stdout).toContain("first");
  expect(stdout).not.toContain("late");
});

test.each([
  ["holds the terminal open", "setsid sleep 1811 & exit 4", { code: 4 }],
  ["floods it", "yes & exit 5", { code: 5 }],
])("what %s from behind does not keep a session open", async (_, script, exit) => {
  const client = await machine.open({ tty: true, argv: ["/bin/sh", "-c", script] });
  client.keepOutput = false;
  await client.over();
  expect(client.exit).toEqual(exit);
});

test("a program that has closed its terminal runs on, and its end is told", async () => {
  const script = "exec </dev/null >/dev/null 2>&1; sleep 0.2; exit 6";
  const { exit } = await machine.shell(script, { tty: true });
  expect(exit).toEqual({ code: 6 });
});

test("a program that has closed its terminal may open it again", async () => {
  const script = "exec <&- >&- 2>&-; sleep 0.3; exec >/dev/tty; head -c 100000 /dev/zero; exit 7";
  const { stdout, exit } = await machine.shell(script, { tty: true });
  expect(stdout.length).toBe(100_000);
  expect(exit).toEqual({ code: 7 });
});

test("a time limit ends a program on a terminal, and what was in its foreground", async () => {
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "sleep 1911"],
    timeout_ms: 200,
  });
  expect((await client.outcome()).exit).toEqual({ signal: 15, timed_out: true });
  await untilRunning("sleep 1911", 0);
});

test("a full-screen editor draws, edits and saves", async () => {
  const client = await machine.open({ tty: true, argv: ["vi", "/tmp/edited"] });
  await client.until("/tmp/edited");
  await client.write("ihello from vi\x1b");
  await client.until("hello from vi");
  await client.write(":wq\r");
  expect((await client.outcome()).exit).toEqual({ code: 0 });
  expect((await machine.run(["cat", "/tmp/edited"])).stdout).toBe("hello from vi\n");
});
