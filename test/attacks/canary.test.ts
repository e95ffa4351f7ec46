import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request, type Request, type Status, statusSchema } from "../../src/protocol/message.ts";
import type { Connection } from "../../src/quic/connection.ts";
import { textOf } from "../../src/system/proc-files.ts";
import { weakToken } from "../support/login-stage.ts";
import { memoryOf } from "../support/process-memory.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { secretTraces } from "../support/secret-traces.ts";
import { TestMachine } from "../roles/init/machine.ts";
import { ProvisionStream } from "../roles/init/provision-client.ts";
import { TestClient } from "../roles/init/test-client.ts";
import { AttackStage, openFrames } from "./stage.ts";

setDefaultTimeout(120_000);

/**
 * The token as a canary: a machine is logged in to, worked on, provisioned and its link crashed, and
 * then everything it leaves or shows is searched for the token and all that is made from it.
 */
let stage: AttackStage;
let connection: Connection;

beforeAll(async () => {
  stage = await AttackStage.open({ env: { VAULT_LOG: "debug" } });
  connection = await stage.logIn();
});

afterAll(async () => {
  await stage.close();
});

function tracesIn(bytes: Uint8Array | string): string[] {
  return secretTraces(Buffer.from(bytes), weakToken, "dev-vaults");
}

function tracesInMemory(pid: number): string[] {
  const found = new Set<string>();
  for (const bytes of memoryOf(pid)) for (const name of tracesIn(bytes)) found.add(name);
  return [...found].toSorted();
}

/** What anybody may read of a process who gets as far as its /proc. */
function tracesShown(pid: number): string[] {
  return ["environ", "cmdline"].flatMap((file) => tracesIn(textOf(`/proc/${pid}/${file}`)));
}

function tracesInFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => tracesIn(readFileSync(path)).length > 0);
}

async function ask(wish: Request): Promise<Status> {
  return request(await openFrames(connection), wish, statusSchema);
}

async function work(tty: boolean, argv?: string[]): Promise<TestClient> {
  const id = crypto.randomUUID();
  const wish = { type: "session-open", id, client: id, tty } as const;
  const frames = await openFrames(connection);
  return TestClient.connect(frames, argv === undefined ? wish : { ...wish, argv });
}

/** Whether one of the same user, but without the right to trace everything, is kept from looking inside. */
function isClosed(pid: number): boolean {
  const { success, stderr } = run(
    "setpriv",
    "--bounding-set=-sys_ptrace",
    "ls",
    "-l",
    `/proc/${pid}/exe`,
  );
  if (!success) expect(stderr.toString()).toContain("Permission denied");
  return !success;
}

function run(...words: readonly string[]) {
  return Bun.spawnSync([...words], { env: { PATH: process.env["PATH"] ?? "" } });
}

function expectProtected(pid: number): void {
  expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(/^Max core file size\s+0\s/m);
  expect(isClosed(pid)).toBe(true);
}

/** A process that is nothing special, with a link's capabilities: shows that a check can fail. */
async function withOrdinaryProcess(body: (pid: number) => void | Promise<void>): Promise<void> {
  const words = ["setpriv", "--bounding-set=-sys_ptrace", "sleep", "100"];
  const env = { PATH: process.env["PATH"] ?? "", SHOWN: weakToken };
  const folder = mkdtempSync(join(tmpdir(), "fv-ordinary-"));
  const child = Bun.spawn(words, { env, cwd: folder });
  try {
    while (!readFileSync(`/proc/${child.pid}/cmdline`, "utf8").startsWith("sleep"))
      await Bun.sleep(1);
    await body(child.pid);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    rmSync(folder, { recursive: true });
  }
}

test("keeper, link and the child that unpacks are closed to others and leave no core", async () => {
  await withOrdinaryProcess((pid) => {
    expect(isClosed(pid)).toBe(false);
    expect(tracesShown(pid)).toEqual(["token"]);
    expect(tracesInMemory(pid)).toEqual(["token"]);
  });
  expectProtected(stage.machine.pid);
  expectProtected(stage.machine.linkPid());

  const folder = mkdtempSync(join(tmpdir(), "fv-canary-"));
  try {
    const archive = await makeRootfsArchive(folder, { format: "tar.gz" });
    const bytes = await Bun.file(archive).bytes();
    const upload = await ProvisionStream.open({ connect: () => connection.openStream() });
    await upload.send(bytes, 1000);
    const child = await stage.machine.descendant("init unpack extract");
    while (!isClosed(child)) await Bun.sleep(5);
    expectProtected(child);
    expect([...tracesShown(child), ...tracesInMemory(child)]).toEqual([]);
    await upload.send(bytes);
    await upload.finish();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each(["SIGSEGV", "SIGABRT"] as const)(
  "a link that dies of %s leaves no core",
  async (name) => {
    const link = stage.machine.linkPid();
    expect(await coresAfter(link, name)).toEqual([]);
    await stage.machine.untilNewLink(link);
    expect(stage.machine.log).toContain(`"signal":"${name}"`);
    connection = await stage.logIn();
  },
);

test("a keeper that dies leaves no core where an ordinary process does", async () => {
  if (!readFileSync("/proc/sys/kernel/core_pattern", "utf8").startsWith("|"))
    await withOrdinaryProcess(async (pid) => {
      expect((await coresAfter(pid, "SIGSEGV")).length).toBe(1);
    });
  await using machine = await TestMachine.boot({ env: { ACCESS_TOKEN: weakToken } });
  expect(await coresAfter(machine.pid, "SIGSEGV")).toEqual([]);
  await machine.kill();
});

/** Which core files appear in its folder when it dies, even where somebody has raised the limit. */
async function coresAfter(pid: number, signal: NodeJS.Signals): Promise<string[]> {
  run("prlimit", `--pid=${pid}`, "--core=unlimited");
  expect(readFileSync(`/proc/${pid}/limits`, "utf8")).toMatch(/^Max core file size\s+unlimited/m);
  const folder = readlinkSync(`/proc/${pid}/cwd`);
  const before = new Set(coresIn(folder));
  process.kill(pid, signal);
  while (!hasEnded(pid)) await Bun.sleep(5);
  return coresIn(folder).filter((name) => !before.has(name));
}

/** Where the kernel's default pattern puts them. */
function coresIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith("core"));
}

function hasEnded(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

test("nothing that the machine shows or keeps has the token, or what is made from it", async () => {
  const shell = await work(true);
  await shell.write("env; cat /proc/*/environ /proc/*/cmdline; echo the-end\n");
  await shell.until("the-end\r\n");
  const search = "grep -rlE 'correct horse' / --exclude-dir=proc --exclude-dir=sys; env; ls -la /";
  const command = await work(false, ["sh", "-c", search]);
  const { stdout, stderr } = await command.outcome();
  const status = JSON.stringify(await ask({ type: "status" }));

  const shown = { shell: shell.stdout, stdout, stderr, status, log: stage.machine.log };
  for (const [where, text] of Object.entries(shown))
    expect({ where, traces: tracesIn(text) }).toEqual({ where, traces: [] });
  expect(stage.apiRequests.length).toBeGreaterThan(0);
  expect(stage.apiRequests.flatMap((text) => tracesIn(text))).toEqual([]);
  expect(tracesInFiles(stage.machine.folder)).toEqual([]);
  expect(existsSync(join(stage.machine.dataDir, ".fly-vault/state.json"))).toBe(true);
  await shell.signal(1);
});

test("in memory it is nowhere, and its keys are in keeper and link only", async () => {
  const client = await work(false, ["sleep", "100"]);
  const { pid } = stage.machine;
  const link = stage.machine.linkPid();
  for (const process of [pid, ...stage.machine.descendants()]) {
    expect(tracesShown(process)).toEqual([]);
    const keys = { [pid]: ["K_login"], [link]: ["Kc", "Ks"] }[process] ?? [];
    const traces = tracesInMemory(process);
    // What a link was given it may have overwritten since, or not.
    const others = process === link ? traces.filter((name) => name !== "K_login") : traces;
    expect({ process, others }).toEqual({ process, others: keys });
  }
  await client.signal(9);
});
