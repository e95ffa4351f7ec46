import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { linkOf, namesIn } from "../../../src/system/proc-files.ts";
import { within } from "../../../src/system/within.ts";
import { eventually } from "./ask.ts";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

test("a terminal has a name that is right inside, is the controlling one, and has the size asked for", async () => {
  const client = await machine.open({
    tty: true,
    rows: 33,
    cols: 99,
    argv: [
      "/bin/sh",
      "-c",
      "tty; stty size; echo through-dev-tty >/dev/tty; ps -o pid,sid,pgid,args | grep '[s]h -c'",
    ],
  });
  const { stdout } = await client.outcome();
  expect(stdout).toMatch(/^\/dev\/pts\/\d+\r\n33 99\r\nthrough-dev-tty\r\n/);
  // Leader of its own session and group: the three numbers are one.
  expect(stdout).toMatch(/\n\s*(\d+)\s+\1\s+\1\s/);
});

test("the login shell is the image's, as a login shell, and takes what is typed", async () => {
  const client = await machine.open({ tty: true, env: { TERM: "vt100", COLORTERM: "truecolor" } });
  await client.write("echo shell=$0 term=$TERM color=$COLORTERM; exit 3\n");
  const { stdout, exit } = await client.outcome();
  expect(stdout).toContain("shell=-sh term=vt100 color=truecolor");
  expect(exit).toEqual({ code: 3 });
});

test("the login shell is the one that passwd names, or /bin/sh where that is none", async () => {
  const lines = ["ash:x:1001:1001::/:/bin/ash", "ghost:x:1002:1002::/:/no/such/shell"];
  await machine.shell(`printf '%s\\n' ${lines.join(" ")} >>/etc/passwd`);
  for (const [user, shell] of Object.entries({ ash: "-ash", ghost: "-sh" })) {
    const client = await machine.open({ tty: true, user });
    await client.write("echo as=$(id -un) shell=$0; exit\n");
    expect((await client.outcome()).stdout).toContain(`as=${user} shell=${shell}\r\n`);
    const session = (await machine.sessions()).find((one) => one.session_id === client.reply.id);
    expect(session).toMatchObject({ argv: [shell], user });
  }
});

test("another user owns its terminal", async () => {
  const client = await machine.open({
    tty: true,
    user: "dev",
    argv: ["/bin/sh", "-c", "id -un; stat -c '%U %G %a' $(tty); echo x >$(tty)"],
  });
  expect((await client.outcome()).stdout).toBe("dev\r\ndev tty 620\r\nx\r\n");
});

test("1000 changes of size arrive in the end, with SIGWINCH", async () => {
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"],
  });
  await client.until("ready");
  for (let i = 1; i <= 1000; i++) await client.resize(10 + (i % 50), 20 + (i % 70));
  await client.resize(47, 123);
  await client.until("47 123");
  await client.signal(9);
  await client.over();
});

test("^C reaches the program in the foreground and not the session", async () => {
  const client = await machine.open({ tty: true });
  await client.write("sleep 2111\n");
  await machine.descendant("sleep 2111");
  await client.write("\x03");
  await client.write("echo after=$?\n");
  await client.until("after=130");
  await client.write("exit 0\n");
  expect((await client.outcome()).exit).toEqual({ code: 0 });
});

test("^C kills a command that is the session", async () => {
  const client = await machine.open({ tty: true, argv: ["sleep", "2211"] });
  await machine.descendant("sleep 2211");
  await client.write("\x03");
  expect((await client.outcome()).exit).toEqual({ signal: 2 });
});

test("^C that the command handles leaves it running", async () => {
  const client = await machine.open({
    tty: true,
    argv: [
      "/bin/sh",
      "-c",
      "trap 'echo handled; exit 8' INT; echo ready; while :; do sleep 0.05; done",
    ],
  });
  await client.until("ready");
  await client.write("\x03");
  await client.until("handled");
  expect((await client.outcome()).exit).toEqual({ code: 8 });
});

test("a signal frame goes to the foreground group", async () => {
  const client = await machine.open({ tty: true });
  await client.write("sleep 2311; echo after=$?\n");
  await machine.descendant("sleep 2311");
  await client.signal(15);
  await client.until("after=143");
  await client.write("exit 0\n");
  await client.over();
});

test("bytes pass unchanged in raw mode, also those a protocol might trip over", async () => {
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "stty raw -echo; echo ready; exec head -c 256 | od -An -v -tu1"],
  });
  await client.until("ready");
  await client.write(Uint8Array.from({ length: 256 }, (_, i) => i));
  const { stdout } = await client.outcome();
  const numbers = stdout.slice("ready\n".length).trim().split(/\s+/).map(Number);
  expect(numbers).toEqual(Array.from({ length: 256 }, (_, i) => i));
});

test("a megabyte pasted to a program that does not read stalls nobody else", async () => {
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "stty raw -echo; echo ready; read line; exec sleep 100"],
  });
  await client.until("ready");
  await client.write(new Uint8Array(900_000).fill(0x61));
  const another = await within(machine.run(["true"]), 20_000);
  expect(another).toMatchObject({ exit: { code: 0 } });
  await client.signal(9);
  expect((await client.outcome()).exit).toEqual({ signal: 9 });
});

test("10 000 numbered lines come once and in order", async () => {
  const client = await machine.open({ tty: true, argv: ["seq", "1", "10000"] });
  const { stdout } = await client.outcome();
  expect(stdout).toBe(Array.from({ length: 10_000 }, (_, i) => `${i + 1}\r\n`).join(""));
});

test("sessions do not inherit each other's terminals", async () => {
  const first = await machine.open({ tty: true, argv: ["sleep", "100"] });
  const second = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "ls -l /proc/self/fd; echo looked; exec sleep 100"],
  });
  // By then ls is gone, and not on its way out of the list below.
  await second.until("looked");
  for (const pid of machine.descendants()) {
    const links = namesIn(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    expect(links.filter((link) => link.includes("ptmx"))).toEqual([]);
  }
  for (const client of [first, second]) {
    await client.signal(9);
    await client.over();
  }
});

test("what hangs on the terminal is hung up when its session ends", async () => {
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "sleep 4321 & echo started; exit 0"],
  });
  await client.over();
  await eventually(
    async () => (await machine.shell("ps | grep -c '[s]leep 4321'; true")).stdout,
    (count) => count === "0\n",
  );
});
