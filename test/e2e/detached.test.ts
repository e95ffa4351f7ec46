import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import {
  type LocalProxy,
  type LocalProxyOptions,
  makeProxyKeys,
  startLocalProxy,
} from "../support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { programEnv, programPath, type RunResult } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

setDefaultTimeout(120_000);

/** Work that nobody waits for, by the compiled programs, through a proxy that dies meanwhile. */
let fly: LocalFly;
let proxy: LocalProxy;
let place: LocalProxyOptions;
let vault: LocalVault;
/** Takes long, from the start on, and says nothing. */
let quiet: Promise<RunResult>;

beforeAll(async () => {
  fly = await startLocalFly();
  const keys = await makeProxyKeys(fly);
  place = { app: "vault-tenants", keyFile: keys.file };
  proxy = await startLocalProxy(fly, place);
  const proxied = ["--proxy", proxy.address, "--key-file", keys.file];
  const tenant = await fly.createTenant("acme", proxied);
  vault = await makeLocalVault(fly, tenant);
  await vault.configure({
    address: proxy.address,
    admission_key: keys.keyOf(tenant.machineId),
    rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }),
  });
  expect((await vault.client(["exec", "dev", "--", "true"])).exitCode).toBe(0);
  quiet = vault.client(["exec", "dev", "--", "sh", "-c", "sleep 7; echo still; exit 5"]);
});

afterAll(async () => {
  await proxy.stop();
  await fly.stop();
});

test("run, sessions, logs -f, attach, wait and kill, over a proxy that is killed", async () => {
  const script =
    "i=0; while [ $i -lt 25 ]; do echo out $i; echo err $i >&2; i=$((i+1)); sleep 0.2; done; " +
    "until [ -e /tmp/looked ]; do sleep 0.1; done; exit 42";
  const started = await vault.client(["run", "dev", "--name", "build", "--", "sh", "-c", script]);
  expect(started).toMatchObject({ exitCode: 0, stderr: "" });
  const id = started.text.trim();
  const logs = vault.client(["logs", "-f", "dev", "build"]);
  const wait = vault.client(["wait", "dev", id]);
  const statusFile = join(vault.home, "status");
  const attach = attachWithStatus(statusFile, [
    "attach",
    "--share",
    "--status-fd=3",
    "dev",
    "build",
  ]);
  const table = await vault.client(["sessions"], { env: { FLY_VAULT_VAULT: "dev" } });
  expect(table.text).toMatch(/\nbuild .* running /);
  expect((await vault.client(["exec", "dev", "--", "touch", "/tmp/looked"])).exitCode).toBe(0);

  await Bun.sleep(1000);
  proxy.kill("SIGKILL");
  await proxy.exited;
  proxy = await startLocalProxy(fly, { ...place, address: proxy.address });

  const whole = { text: lines("out"), stderr: lines("err") };
  expect(await logs).toMatchObject({ exitCode: 0, ...whole });
  expect(await attach).toEqual({ exitCode: 42, ...whole });
  expect(await wait).toMatchObject({ exitCode: 42, text: "", stderr: "" });
  expect(JSON.parse(await readFile(statusFile, "utf8"))).toMatchObject({
    schema: "fly-vault/exit-status",
    data: { session_id: id, status: 42, exit_code: 42, ended_by: "exit", error: null },
  });

  await vault.client(["run", "dev", "--name", "sleeper", "--", "sleep", "100"]);
  const killed = await vault.client(["kill", "-s", "INT", "dev", "sleeper"]);
  expect(killed).toMatchObject({ exitCode: 0, text: "", stderr: "" });
  expect((await vault.client(["wait", "dev", "sleeper"])).exitCode).toBe(130);
  const after = await vault.client(["sessions", "dev"]);
  expect(after.text).toMatch(/\nbuild .* exited 42 /);
  expect(after.text).toMatch(/\nsleeper +sleep 100 +killed by SIGINT /);
});

test("a command is not ended for being quiet", async () => {
  expect(await quiet).toMatchObject({ exitCode: 5, text: "still\n", stderr: "" });
});

/** What the script writes to one of its outputs. */
function lines(word: string): string {
  return Array.from({ length: 25 }, (_, at) => `${word} ${at}\n`).join("");
}

/** With descriptor 3 open to a file. */
async function attachWithStatus(
  file: string,
  words: readonly string[],
): Promise<{ exitCode: number; text: string; stderr: string }> {
  const argv = ["sh", "-c", 'exec "$@" 3>"$0"', file, programPath("fly-vault"), ...words];
  const child = Bun.spawn(argv, {
    cwd: "/",
    env: programEnv(vault.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 50_000,
  });
  const [text, stderr, exitCode] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { exitCode, text, stderr };
}
