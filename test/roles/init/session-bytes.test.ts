import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { TestMachine } from "./machine.ts";

setDefaultTimeout(120_000);

/** Bytes through sessions, however they are cut. */

let machine: TestMachine;

beforeAll(async () => {
  machine = await TestMachine.boot();
});

afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

const text = "é€𝄞ñ日本語🇦🇹👩‍👩‍👧 ÿ\u{0}ÿ";

test.each([false, true])(
  "text cut at every byte comes back whole (on a terminal: %p)",
  async (tty) => {
    const argv = tty ? ["/bin/sh", "-c", "stty raw -echo; echo ready; exec cat"] : ["cat"];
    const client = await machine.open({ tty, argv });
    if (tty) await client.until("ready\n");
    const bytes = new TextEncoder().encode(text);
    for (const byte of bytes) await client.write(Uint8Array.of(byte));
    await client.until(text);
    const start = tty ? "ready\n".length : 0;
    expect(client.stdoutBytes().slice(start)).toEqual(bytes);
    await client.signal(9);
    await client.over();
  },
);

test("text that a program writes byte by byte arrives whole", async () => {
  const bytes = [...new TextEncoder().encode(text)];
  const script = bytes.map((byte) => `printf '\\${byte.toString(8).padStart(3, "0")}'`).join("; ");
  expect((await machine.shell(script, { tty: true })).stdout).toBe(text);
});

test.each([0x00, 0xff])("a mebibyte of nothing but byte %i arrives each way", async (byte) => {
  const stdin = new Uint8Array(1024 * 1024).fill(byte);
  const client = await machine.open({ argv: ["cat"] });
  await client.write(stdin);
  await client.endInput();
  await client.over();
  expect(Buffer.compare(client.stdoutBytes(), stdin)).toBe(0);
});

test("64 MiB of random bytes come through a terminal unchanged", async () => {
  const sum = await machine.shell("head -c 67108864 /dev/urandom >/tmp/blob; sha256sum </tmp/blob");
  const client = await machine.open({
    tty: true,
    argv: ["/bin/sh", "-c", "stty raw -echo; echo ready; read go; exec cat /tmp/blob"],
  });
  await client.until("ready\n");
  client.keepOutput = false;
  const received = createHash("sha256");
  client.onOutput = (_, bytes) => void received.update(bytes);
  await client.write("go\n");
  await client.over();
  expect(client).toMatchObject({
    receivedBytes: "ready\n".length + 64 * 1024 * 1024,
    lostBytes: 0,
    exit: { code: 0 },
  });
  expect(sum.stdout).toStartWith(received.digest("hex"));
  await machine.run(["rm", "/tmp/blob"]);
});

test("a mebibyte pasted in brackets arrives whole where it is read", async () => {
  const pasted = `\x1b[200~${"pasted text 0123".repeat(64 * 1024)}\x1b[201~`;
  const script = `stty raw -echo; echo ready; head -c ${pasted.length} | sha256sum`;
  const client = await machine.open({ tty: true, argv: ["/bin/sh", "-c", script] });
  await client.until("ready\n");
  await client.write(pasted);
  const { stdout } = await client.outcome();
  expect(stdout).toContain(createHash("sha256").update(pasted).digest("hex"));
});

test("the end of stdin ends neither the program nor its output", async () => {
  const { stdout, exit } = await machine.shell("cat; seq 1 20000; exit 4", { stdin: "input\n" });
  expect(stdout).toBe(`input\n${Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join("")}`);
  expect(exit).toEqual({ code: 4 });
});

test("yes | head -1 ends at once, without a word about it", async () => {
  expect(await machine.shell("yes | head -n 1")).toEqual({
    stdout: "y\n",
    stderr: "",
    exit: { code: 0 },
  });
});

test("a program whose reader is gone dies of SIGPIPE", async () => {
  const { stderr } = await machine.shell("(yes; echo status=$? >&2) | head -n 1");
  expect(stderr).toBe("status=141\n");
});
