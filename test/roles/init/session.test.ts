import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { limits } from "../../../src/protocol/limits.ts";
import { initLimits } from "../../../src/roles/init/limits.ts";
import { codeOf, eventually } from "./ask.ts";
import { within } from "../../../src/system/within.ts";
import { TestMachine } from "./machine.ts";
import type { TestClient } from "./test-client.ts";

setDefaultTimeout(120_000);

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

test("a command keeps stdout, stderr and exit code apart and exact", async () => {
  const outcome = await machine.shell("echo out; echo err >&2; exit 7");
  expect(outcome).toEqual({ stdout: "out\n", stderr: "err\n", exit: { code: 7 } });
});

test("every exit code arrives as it was", async () => {
  const codes = Array.from({ length: 256 }, (_, code) => code);
  const seen = [];
  for (const code of codes) seen.push((await machine.shell(`exit ${code}`)).exit);
  expect(seen).toEqual(codes.map((code) => ({ code })));
});

test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])(
  "death by signal %i is told as such",
  async (signal) => {
    const client = await machine.open({ argv: ["sleep", "100"] });
    await client.signal(signal);
    expect((await client.outcome()).exit).toEqual({ signal });
  },
);

test("stdin reaches the command and its end is an end", async () => {
  const outcome = await machine.run(["cat"], { stdin: "one\ntwo" });
  expect(outcome).toEqual({ stdout: "one\ntwo", stderr: "", exit: { code: 0 } });
});

test("the descriptors of a command are pipes it may open by name, and no others are open", async () => {
  const { stdout, stderr } = await machine.shell(
    "echo named >/dev/stderr; exec ls -l /proc/self/fd",
  );
  expect(stderr).toStartWith("named\n");
  expect(stdout.match(/-> pipe:/g)).toHaveLength(3);
  expect(stdout).not.toMatch(/ 4 ->/);
});

test("signals a command inherits are neither ignored nor blocked", async () => {
  const { stdout } = await machine.run(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]);
  expect(stdout).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
});

test("what cannot be started is told from what exits with 126 or 127", async () => {
  expect(await codeOf(machine.run(["no-such-program"]))).toBe("command-not-found");
  expect(await codeOf(machine.run(["/no/such/program"]))).toBe("command-not-found");
  expect(await codeOf(machine.run(["/etc/passwd"]))).toBe("command-not-executable");
  expect(await codeOf(machine.run(["/etc"]))).toBe("command-not-executable");
  expect(await codeOf(machine.run(["true"], { cwd: "/no/such/folder" }))).toBe(
    "command-failed-to-start",
  );
  expect(await codeOf(machine.run(["true"], { user: "nobody-here" }))).toBe(
    "command-failed-to-start",
  );
  expect((await machine.shell("exit 127")).exit).toEqual({ code: 127 });
});

test("scripts: without an interpreter line by the shell, with a missing interpreter not found", async () => {
  await machine.shell(
    "printf 'echo by-the-shell $1\\n' >/bin/plain; printf '#!/no/such\\n' >/bin/orphan; chmod 755 /bin/plain /bin/orphan",
  );
  expect((await machine.run(["plain", "x"])).stdout).toBe("by-the-shell x\n");
  expect(await codeOf(machine.run(["orphan"]))).toBe("command-not-found");
});

test("arguments pass without a shell looking at them", async () => {
  const words = ["", " ", "*", "$HOME", "a'b\"c", "ä\n", "--"];
  const { stdout } = await machine.run(["printf", "<%s>", ...words]);
  expect(stdout).toBe(words.map((word) => `<${word}>`).join(""));
});

test("root by default, in its home, with its environment and nothing else", async () => {
  const { stdout } = await machine.shell("id -un; pwd; env | sort", { env: { LANG: "C.UTF-8" } });
  expect(stdout.split("\n")).toEqual([
    "root",
    "/root",
    "HOME=/root",
    "LANG=C.UTF-8",
    "LOGNAME=root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PWD=/root",
    "SHELL=/bin/sh",
    "SHLVL=1",
    "USER=root",
    "",
  ]);
});

test("another user has its groups and no capabilities, and init is root again afterwards", async () => {
  const { stdout } = await machine.shell("id; grep CapEff /proc/self/status; echo x >/dev/stderr", {
    user: "dev",
  });
  expect(stdout).toContain("uid=1000(dev) gid=1000(dev) groups=10(wheel),1000(dev)");
  expect(stdout).toContain("CapEff:\t0000000000000000");
  expect((await machine.run(["id", "-u"])).stdout).toBe("0\n");
  const status = readFileSync(`/proc/${machine.pid}/status`, "utf8");
  expect(status).toMatch(/^Uid:\t0\t0\t0\t0$/m);
  expect(status).toMatch(/^Gid:\t0\t0\t0\t0$/m);
});

test("a working folder may be relative to home", async () => {
  const { stdout } = await machine.run(["pwd"], { cwd: "../etc" });
  expect(stdout).toBe("/etc\n");
});

test("the folder of a command is inside: no way up leads out", async () => {
  const { stdout } = await machine.shell(
    "cd ../../../../../..; pwd; ls -a | grep -c '^[.]fly$'; ls /proc/$$/cwd/..",
  );
  expect(stdout).toStartWith("/\n0\n");
  expect(stdout).not.toContain("work");
});

test("background children that keep the pipes open delay the exit by moments only", async () => {
  const outcome = await within(machine.shell("sleep 100 & echo started; exit 5"), 20_000);
  expect(outcome).toEqual({ stdout: "started\n", stderr: "", exit: { code: 5 } });
});

test("a background flood does not keep a session open", async () => {
  const client = await machine.open({ argv: ["/bin/sh", "-c", "yes & exit 6"] });
  client.keepOutput = false;
  expect((await client.outcome()).exit).toEqual({ code: 6 });
});

test("a background trickle is not waited for longer than drainLooksMax looks", async () => {
  const { drainLookMs, drainLooksMax } = initLimits;
  // A pause that starts no program, and four that have it: one alone may be silent for too long.
  const pause = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done";
  const trickle = `trickle() { for n in $(seq 6000); do echo more; ${pause}; done; }`;
  const script = `${trickle}; echo started; for each in 1 2 3 4; do trickle & done; exit 7`;
  let tookMs = 0;
  // On a busy machine all four may be.
  for (let tries = 0; tries < 5 && tookMs <= drainLookMs * drainLooksMax; tries++) {
    const startMs = performance.now();
    const client = await machine.open({ argv: ["/bin/sh", "-c", script] });
    const { stdout, exit } = await client.outcome();
    expect(exit).toEqual({ code: 7 });
    expect(stdout).toStartWith("started\n");
    tookMs = performance.now() - startMs;
  }
  expect(tookMs).toBeGreaterThan(drainLookMs * drainLooksMax);
});

test("a time limit ends the command's whole group and is told", async () => {
  const outcome = await machine.shell("sleep 100 & sleep 100", { timeout_ms: 100 });
  expect(outcome.exit).toEqual({ signal: 15, timed_out: true });
});

test("a command deaf to the end of its time is killed timeoutKillMs later", async () => {
  const startMs = performance.now();
  // By then it is deaf.
  const outcome = await machine.shell("trap '' TERM; while :; do sleep 0.1; done", {
    timeout_ms: 2000,
  });
  expect(outcome.exit).toEqual({ signal: 9, timed_out: true });
  expect(performance.now() - startMs).toBeGreaterThanOrEqual(initLimits.timeoutKillMs);
});

test("a time limit longer than any timer is none", async () => {
  const outcome = await machine.run(["true"], { timeout_ms: Number.MAX_SAFE_INTEGER });
  expect(outcome.exit).toEqual({ code: 0 });
});

test("a signal goes to the command's group", async () => {
  const client = await machine.open({
    argv: [
      "/bin/sh",
      "-c",
      "trap 'echo caught; exit 9' USR1; echo on; while :; do sleep 0.05; done",
    ],
  });
  await client.until("on");
  await client.signal(10);
  const { stdout, exit } = await client.outcome();
  expect({ stdout, exit }).toEqual({ stdout: "on\ncaught\n", exit: { code: 9 } });
});

test("64 MiB each way arrive whole", async () => {
  const client = await machine.open({ argv: ["cat"] });
  client.keepOutput = true;
  const block = new Uint8Array(crypto.getRandomValues(new Uint8Array(65_536)));
  const sent = createHash("sha256");
  for (let i = 0; i < 1024; i++) {
    block[i % block.length] = i & 0xff;
    const copy = block.slice();
    sent.update(copy);
    await client.write(copy);
  }
  await client.endInput();
  await client.over();
  expect(client.exit).toEqual({ code: 0 });
  const received = createHash("sha256").update(client.stdoutBytes()).digest("hex");
  expect(received).toBe(sent.digest("hex"));
});

test("a reader that stalls loses nothing: the command waits", async () => {
  const client = await machine.open({
    argv: ["/bin/sh", "-c", "head -c 20000000 /dev/zero; echo done >&2; exit 3"],
  });
  client.keepOutput = false;
  client.reading = false;
  await Bun.sleep(300);
  expect(client.exit).toBeUndefined();
  client.reading = true;
  await client.over();
  expect(client).toMatchObject({ receivedBytes: 20_000_005, lostBytes: 0, exit: { code: 3 } });
});

test("2 MiB on stderr with a stalled reader and exit 7 are all delivered", async () => {
  const client = await machine.open({
    argv: ["/bin/sh", "-c", "head -c 2097152 /dev/zero >&2; exit 7"],
  });
  client.keepOutput = false;
  client.reading = false;
  await Bun.sleep(200);
  client.reading = true;
  await client.over();
  expect(client).toMatchObject({ receivedBytes: 2_097_152, lostBytes: 0, exit: { code: 7 } });
});

test("opening twice with one id runs the command once", async () => {
  const id = crypto.randomUUID();
  const argv = ["/bin/sh", "-c", "echo $$; read go; exit 4"];
  const first = await machine.open({ id, argv });
  const second = await machine.open({ id, argv });
  expect([first.reply.created, second.reply.created]).toEqual([true, false]);
  expect(second.reply.generation).toBe(first.reply.generation);
  expect(await codeOf(first.over())).toBe("taken-over");
  await second.write("go\n");
  expect((await second.outcome()).exit).toEqual({ code: 4 });
});

test("a lost connection costs no byte in either direction", async () => {
  let client = await machine.open({ argv: ["cat"], client: "one" });
  const { id, generation } = client.reply;
  let expected = "";
  for (let round = 0; round < 20; round++) {
    const words = `round ${round}\n`.repeat(200);
    expected += words;
    await client.write(words);
    if (round % 3 !== 0) continue;
    client.drop();
    await client.over().catch(() => undefined);
    client = await machine.resume(client, { session: id, generation, client: "one" });
  }
  await client.endInput();
  const { stdout, exit } = await client.outcome();
  expect(exit).toEqual({ code: 0 });
  expect(stdout).toBe(expected);
});

test("output beyond the ring while nobody looks is a gap that says how much", async () => {
  const client = await machine.open({
    tty: true,
    argv: [
      "/bin/sh",
      "-c",
      "stty raw -echo; echo ready; read go; head -c 6000000 /dev/zero; echo end; exec sleep 100",
    ],
  });
  const { id } = client.reply;
  await client.until("ready");
  await client.write("go\n");
  client.drop();
  await client.over().catch(() => undefined);
  const isWritten = async () =>
    (await machine.sessions()).some((row) => row.session_id === id && row.stdout_bytes > 6_000_000);
  while (!(await isWritten())) await Bun.sleep(20);
  const again = await machine.attach({ session: id });
  await again.until("end\n");
  expect(again.lostBytes).toBeGreaterThan(6_000_000 - limits.ringBytes - 1024);
  expect(again.receivedBytes + again.lostBytes - "ready\nend\n".length).toBe(6_000_000);
  await again.signal(9);
  await again.over();
});

test("output of a pipe whose client is away is held back, not dropped", async () => {
  const client = await machine.open({
    client: "away",
    argv: ["/bin/sh", "-c", "read go; head -c 6000000 /dev/zero; exit 2"],
  });
  const { id } = client.reply;
  await client.write("go\n");
  client.drop();
  await client.over().catch(() => undefined);
  await Bun.sleep(300);
  const again = await machine.resume(client, { session: id, client: "away" });
  again.keepOutput = false;
  await again.over();
  expect(again.exit).toEqual({ code: 2 });
  expect(again.lostBytes).toBe(0);
});

test("take-over tells the one that loses; sharing shows both", async () => {
  const first = await machine.open({ name: "shared", tty: true, argv: ["cat"] });
  const watcher = await machine.attach({ session: "shared", mode: "share" });
  await first.write("hello\n");
  await Promise.all([first.until("hello\r\nhello"), watcher.until("hello\r\nhello")]);
  const second = await machine.attach({ session: "shared" });
  expect(await codeOf(first.over())).toBe("taken-over");
  expect(await codeOf(watcher.over())).toBe("taken-over");
  await second.write("again\n");
  await second.until("again\r\nagain");
  await second.signal(9);
  expect((await second.outcome()).exit).toEqual({ signal: 9 });
});

test("connections that died unnoticed do not keep their client out", async () => {
  let client = await machine.open({
    client: "roaming",
    argv: ["/bin/sh", "-c", "yes | head -c 20000000; exit 3"],
  });
  const { id } = client.reply;
  for (let round = 0; round < initLimits.clientsPerSessionMax + 4; round++) {
    client.reading = false;
    await Bun.sleep(20);
    client = await machine.resume(client, { session: id, client: "roaming" });
  }
  client.keepOutput = false;
  await client.over();
  expect(client.exit).toEqual({ code: 3 });
  expect(client.lostBytes).toBe(0);
});

test("names: taken while it runs, free when it has ended; unknown and other generations are told apart", async () => {
  const first = await machine.open({ name: "job", argv: ["sleep", "100"] });
  expect(await codeOf(machine.open({ name: "job", argv: ["true"] }))).toBe("already-exists");
  expect(await codeOf(machine.attach({ session: "job", generation: "another" }))).toBe("gone");
  expect(await codeOf(machine.attach({ session: "unknown" }))).toBe("not-found");
  await first.signal(15);
  await first.over();
  const second = await machine.open({ name: "job", argv: ["true"] });
  expect(second.reply.generation).not.toBe(first.reply.generation);
  await second.over();
});

test("a session that ended without its client keeps output and exit code, and is listed", async () => {
  const client = await machine.open({
    name: "left",
    context: "in a test",
    argv: ["/bin/sh", "-c", "echo late; exit 11"],
  });
  client.reading = false;
  client.drop();
  const listed = await eventually(
    async () => (await machine.sessions()).find((session) => session.name === "left"),
    (session) => session?.attached === false && session.exit !== null,
  );
  expect(listed).toMatchObject({
    argv: ["/bin/sh", "-c", "echo late; exit 11"],
    context: "in a test",
    attached: false,
    exit_code: 11,
    tty: false,
  });
  expect(await (await machine.attach({ session: "left" })).outcome()).toEqual({
    stdout: "late\n",
    stderr: "",
    exit: { code: 11 },
  });
});

test("no more than runningMax sessions run at once", async () => {
  const clients: TestClient[] = [];
  const running = (await machine.sessions()).filter((session) => session.exit_code === null).length;
  for (let i = running; i < initLimits.runningMax; i++)
    clients.push(await machine.open({ argv: ["sleep", "100"] }));
  expect(await codeOf(machine.open({ argv: ["true"] }))).toBe("limit");
  await Promise.all(
    clients.map(async (client) => {
      await client.signal(9);
      await client.over();
    }),
  );
  expect((await machine.run(["true"])).exit).toEqual({ code: 0 });
});
