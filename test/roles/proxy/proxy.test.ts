import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deriveAdmissionKey, formatAdmissionKey } from "../../../src/quic/admission-key.ts";
import { formatProxyMaster } from "../../../src/quic/proxy-master.ts";
import { freePort } from "../../support/free-port.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../../support/local-fly.ts";
import { eventsIn } from "../../support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../../support/local-vault.ts";
import { programEnv, programPath } from "../../support/program.ts";
import { makeRootfsArchive } from "../../support/rootfs-archive.ts";
import { until } from "./stand-ins.ts";

setDefaultTimeout(120_000);

/** The whole vault-proxy from source, a machine that really runs, and the client as a user has it. */
const master = { epoch: 3, master: new Uint8Array(randomBytes(32)) };
const masterText = formatProxyMaster(master);

let fly: LocalFly;
let tenant: Tenant;
let vault: LocalVault;
let admissionKey: string;
let rootfs: string;
let proxy: Proxy;
let proxyChild: Bun.Subprocess | undefined;

interface Proxy {
  readonly child: Bun.Subprocess;
  readonly log: () => ReturnType<typeof eventsIn>;
  metrics(): Promise<string>;
}

beforeAll(async () => {
  fly = await startLocalFly();
  tenant = await fly.createTenant("acme");
  admissionKey = formatAdmissionKey(
    deriveAdmissionKey(master.master, master.epoch, tenant.machineId),
  );
  await giveToMachine(admissionKey);
  vault = await makeLocalVault(fly, tenant);
  rootfs = await makeRootfsArchive(fly.folder, { format: "tar.zst" });
  await startProxy();
});

afterAll(async () => {
  proxyChild?.kill("SIGKILL");
  await proxyChild?.exited;
  await fly.stop();
});

/** In place of the one before, if any. */
async function startProxy(): Promise<void> {
  proxyChild?.kill("SIGKILL");
  await proxyChild?.exited;
  const logFile = join(fly.folder, `proxy-${crypto.randomUUID()}.log`);
  const main = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));
  const flags = `--listen 127.0.0.1:${freePort()} --metrics 127.0.0.1:0 --refresh-interval-secs 1 --drain-secs 0.2`;
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
  const log = (): ReturnType<typeof eventsIn> => eventsIn(readFileSync(logFile, "utf8"));
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
  const address = logged("relay-listening", "addresses");
  await vault.configure({ address, admission_key: admissionKey, rootfs });
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
  const deadlineMs = performance.now() + 30_000;
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

/** Never a number that means more than one process to kill(2). */
function relayPid(): number | undefined {
  return childrenOf(proxy.child.pid).find(isRelay);
}

function isRelay(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0relay\0");
  } catch {
    // Gone meanwhile.
    return false;
  }
}

test("a command runs on a machine behind the proxy", async () => {
  await say("through the proxy");
});

test.each([
  ["stopped", "stop"],
  ["suspended", "suspend"],
])("a machine that is %s is started for a client with the key", async (state, verb) => {
  // One that has not started it just now: it would wait for ten seconds.
  await startProxy();
  await machineCall("POST", `/${verb}`, {});
  await machineCall("GET", `/wait?state=${state}&timeout=30`);
  await untilShown(`vault_proxy_machines{state="${state}"} 1`);
  await say("from its sleep");
  expect(await machineCall<{ state: string }>("GET", "")).toMatchObject({ state: "started" });
  await untilShown('vault_proxy_starts_total{outcome="started"} 1');
  expect(logged("machine-started", "machine")).toBe(tenant.machineId);
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
  const before = await until(relayPid, "a relay");
  expect(before).toBeGreaterThan(1);
  process.kill(before, "SIGKILL");
  const isNext = (pid: number | undefined): boolean => pid !== undefined && pid !== before;
  await until(() => isNext(relayPid()) || undefined, "a new relay");
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
