import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../src/quic/admission-key.ts";
import { formatProxyMaster } from "../../../src/quic/proxy-master.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../../support/local-vault.ts";
import { programEnv, programPath } from "../../support/program.ts";
import { makeRootfsArchive } from "../../support/rootfs-archive.ts";
import { until } from "./stand-ins.ts";

setDefaultTimeout(60_000);

/** The whole vault-proxy from source, a machine that really runs, and the client as a user has it. */
const master = { epoch: 3, master: new Uint8Array(randomBytes(32)) };
const masterText = formatProxyMaster(master);

let fly: LocalFly;
let tenant: Tenant;
let vault: LocalVault;
let proxy: Proxy;
let proxyChild: Bun.Subprocess | undefined;

interface Proxy {
  readonly child: Bun.Subprocess;
  readonly log: () => Record<string, unknown>[];
  metrics(): Promise<string>;
}

beforeAll(async () => {
  fly = await startLocalFly();
  tenant = await fly.createTenant("acme");
  const key = deriveAdmissionKey(master.master, master.epoch, tenant.machineId);
  await giveToMachine(formatAdmissionKey(key));
  await startProxy();
  vault = await makeLocalVault(fly, tenant);
  await vault.configure({
    address: logged("relay-listening", "addresses"),
    admission_key: formatAdmissionKey(key),
    rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }),
  });
});

afterAll(async () => {
  proxyChild?.kill("SIGKILL");
  await proxyChild?.exited;
  await fly.stop();
});

async function startProxy(): Promise<void> {
  const logFile = join(fly.folder, "proxy.log");
  const main = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));
  const flags =
    "--listen 127.0.0.1:0 --metrics 127.0.0.1:0 --refresh-interval-secs 1 --drain-secs 0.2";
  const child = Bun.spawn([process.execPath, main, "proxy", ...flags.split(" ")], {
    cwd: "/",
    env: programEnv({
      FLY_APP: tenant.app,
      FLY_API_BASE: fly.apiBase,
      FLY_API_TOKEN: fly.apiToken,
      FLY_VAULT_PROXY_KEY: masterText,
    }),
    stdio: ["ignore", "ignore", Bun.file(logFile)],
  });
  proxyChild = child;
  const log = (): Record<string, unknown>[] =>
    readFileSync(logFile, "utf8")
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  proxy = {
    child,
    log,
    metrics: async () => {
      const response = await fetch(`http://${logged("web-listening", "metrics")}/metrics`);
      return response.text();
    },
  };
  const has = (event: string): true | undefined =>
    log().some((line) => line["event"] === event) || undefined;
  for (const event of ["relay-listening", "web-listening", "directory-listed"])
    await until(() => has(event), `${event} in ${readFileSync(logFile, "utf8")}`);
}

function logged(event: string, field: string): string {
  return String(proxy.log().findLast((line) => line["event"] === event)?.[field]);
}

/** As `fly machine update --env` does: a new configuration, and a new start with it. */
async function giveToMachine(key: string): Promise<void> {
  const { config } = await machineCall<{ config: { env: Record<string, string> } }>("GET", "");
  const env = { ...config.env, VAULT_ADMISSION_KEY: key };
  await machineCall("POST", "", { config: { ...config, env } });
  await machineCall("GET", "/wait?state=started&timeout=30");
}

async function machineCall<T>(method: string, path: string, body?: unknown): Promise<T> {
  const url = `${fly.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}${path}`;
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${fly.apiToken}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as T;
}

async function say(word: string): Promise<void> {
  const said = await vault.client(["exec", "dev", "--", "echo", word]);
  expect(said).toMatchObject({ exitCode: 0, text: `${word}\n` });
}

test("the compiled program starts its processes as well, from a file of any name", async () => {
  const file = join(fly.folder, "renamed");
  await copyFile(programPath("vault-proxy"), file);
  const child = Bun.spawn(
    [file, "proxy", "--open", "--listen", "127.0.0.1:0", "--metrics", "off"],
    {
      cwd: "/",
      env: programEnv({ FLY_APP: "none", FLY_API_BASE: fly.apiBase, FLY_API_TOKEN: "wrong" }),
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let log = "";
  for await (const bytes of child.stderr) {
    log += new TextDecoder().decode(bytes);
    // The second signal makes it end at once.
    if (log.includes("relay-listening"))
      for (let twice = 0; twice < 2; twice++) child.kill("SIGTERM");
  }
  expect(await child.exited).toBe(0);
  expect(log).toContain('"event":"open"');
});

/** The page is made anew every second. */
async function untilShown(line: string): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!(await proxy.metrics()).includes(`${line}\n`)) {
    if (performance.now() > deadlineMs) throw new Error(await proxy.metrics());
    await Bun.sleep(50);
  }
}

/** Pids of the processes that this one started. */
function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((each) => parentOf(each) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}

function relayPid(): number {
  return childrenOf(proxy.child.pid).find(isRelay) ?? -1;
}

function isRelay(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0relay\0");
}

test("a command runs on a machine behind the proxy", async () => {
  await say("through the proxy");
});

test("a machine that is stopped is started for a client that has the key", async () => {
  await machineCall("POST", "/stop", {});
  await machineCall("GET", "/wait?state=stopped&timeout=30");
  await say("from its sleep");
  const { state } = await machineCall<{ state: string }>("GET", "");
  expect(state).toBe("started");
  await until(() => logged("machine-started", "machine") === tenant.machineId || undefined, "it");
  await untilShown('vault_proxy_starts_total{outcome="started"} 1');
  await untilShown('vault_proxy_process_up{process="relay"} 1');
});

test("token and key are in no environment and no command line of the three processes", () => {
  const pids = [proxy.child.pid, ...childrenOf(proxy.child.pid)];
  expect(pids.length).toBe(3);
  for (const pid of pids) {
    for (const file of ["environ", "cmdline"]) {
      const text = readFileSync(`/proc/${pid}/${file}`, "utf8");
      expect(text).not.toContain(fly.apiToken);
      expect(text).not.toContain(masterText);
    }
  }
});

test("when its relay is killed, the next one takes over at the same port", async () => {
  const before = relayPid();
  process.kill(before, "SIGKILL");
  await until(() => (relayPid() > 0 && relayPid() !== before ? true : undefined), "a new relay");
  await say("by the next relay");
});

test("SIGTERM ends it in order, and its processes with it", async () => {
  const pids = childrenOf(proxy.child.pid);
  proxy.child.kill("SIGTERM");
  expect(await proxy.child.exited).toBe(0);
  await until(
    () => (pids.every((pid) => parentOf(pid) === undefined) ? true : undefined),
    "the end",
  );
  const events = proxy.log().map((line) => line["event"]);
  expect(events).toContain("draining");
  expect(events.at(-1)).toBe("stopped");
});
