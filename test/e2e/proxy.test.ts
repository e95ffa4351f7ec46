import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { randomBytes } from "node:crypto";
import { bulkMebibytes, bulkPipe } from "../support/bulk-pipe.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import {
  eventsIn,
  type LocalProxy,
  makeProxyKeys,
  type ProxyKeys,
  startLocalProxy,
} from "../support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { run } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { UdpRelay } from "../support/udp-relay.ts";

setDefaultTimeout(120_000);

/** How long bytes flow between one blow and the next. */
const transferMs = 1_500;

/** The compiled programs together: a tenant behind a proxy, made by the admin, and its client. */
let fly: LocalFly;
let keys: ProxyKeys;
let proxy: LocalProxy;
let tenant: Tenant;
let vault: LocalVault;
let rootfs: string;

beforeAll(async () => {
  fly = await startLocalFly();
  keys = await makeProxyKeys(fly);
  proxy = await startLocalProxy(fly, place());
  tenant = await fly.createTenant("acme", ["--proxy", proxy.address, "--key-file", keys.file]);
  rootfs = await makeRootfsArchive(fly.folder, { format: "tar.zst" });
  vault = await makeLocalVault(fly, tenant);
  await throughProxy();
  const said = await vault.client(["exec", "dev", "--", "echo", "provisioned"]);
  expect(said).toMatchObject({ exitCode: 0, text: "provisioned\n" });
});

afterAll(async () => {
  await proxy.stop();
  await fly.stop();
});

// Each test finds the way through the proxy that there is now.
beforeEach(async () => throughProxy());

function place(): { readonly app: string; readonly keyFile: string } {
  return { app: "vault-tenants", keyFile: keys.file };
}

async function throughProxy(changes: Readonly<Record<string, string>> = {}): Promise<void> {
  const admission_key = keys.keyOf(tenant.machineId);
  await vault.configure({ address: proxy.address, admission_key, rootfs, ...changes });
}

test("a command is a pipe as ever, with its exit status", async () => {
  const said = await vault.client(["exec", "dev", "--", "sh", "-c", "tr a-z A-Z; exit 7"], {
    stdin: "through the proxy\n",
  });
  expect(said).toMatchObject({ exitCode: 7, text: "THROUGH THE PROXY\n" });
});

test("nothing at all comes back to whoever has no key", async () => {
  const answers: Uint8Array[] = [];
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port: proxy.port },
    socket: { data: (_socket, datagram) => void answers.push(datagram) },
  });
  try {
    for (const first of [0x0a, 0x0b, 0x00, 0xc3, 0xff, 0x40, 0x43]) {
      for (const bytes of [1, 20, 21, 45, 26, 1200, 1228, 1400])
        socket.send(Buffer.concat([Buffer.of(first), randomBytes(bytes - 1)]));
    }
    // Behind all of them in the same queue.
    expect((await vault.client(["exec", "dev", "--", "true"])).exitCode).toBe(0);
    expect(answers).toEqual([]);
  } finally {
    socket.close();
  }
});

test("a stopped machine is started, and the client says that it waits for that", async () => {
  await stopMachine();
  const said = await vault.client(["exec", "dev", "--", "echo", "awake"]);
  expect(said).toMatchObject({ exitCode: 0, text: "awake\n" });
  expect(said.stderr).toMatch(/machine stopped, starting/);
});

describe("the proxy dies", () => {
  test("its datagram process alone: a console goes on", async () => {
    const terminal = vault.terminal(["connect", "dev", "--take-over"]);
    try {
      await terminal.expect(/[#$] /);
      terminal.type("echo one$((1+1))\n");
      await terminal.expect(/one2/);
      const killed = proxy.pidOf("relay");
      proxy.killPart("relay");
      terminal.type("echo two$((1+2))\n");
      await terminal.expect(/two3/);
      expect(proxy.pidOf("relay")).not.toBe(killed);
    } finally {
      terminal.kill("SIGKILL");
      await terminal.exited;
    }
  });

  test("as a whole, and another takes its place: bulk each way, exact to the byte", async () => {
    const fast = { ...place(), argv: ["--machine-mbit", "8000"] };
    await proxy.stop();
    proxy = await startLocalProxy(fly, fast);
    await using path = await UdpRelay.open({ host: "127.0.0.1", port: proxy.port });
    await throughProxy({ address: `127.0.0.1:${path.address.port}` });
    const bulk = bulkPipe(["exec", "dev", "--", "cat"], vault.env, bulkMebibytes);
    await Bun.sleep(transferMs);
    // Killed, and started again at the same port.
    proxy.kill("SIGKILL");
    await proxy.exited;
    proxy = await startLocalProxy(fly, { ...fast, address: proxy.address });
    await Bun.sleep(transferMs);
    // The client's address changes.
    await path.rebind();
    await Bun.sleep(transferMs);
    // Another instance, which knows nothing of the connection, gets its datagrams from now on.
    const second = await startLocalProxy(fly, fast);
    path.redirect({ host: "127.0.0.1", port: second.port });
    await proxy.stop();
    proxy = second;

    const result = await bulk;
    expect(result).toMatchObject({ exitCode: 0, receivedBytes: bulkMebibytes * 1024 ** 2 });
    expect(result.received).toBe(result.sent);
  }, 240_000);
});

describe("a network without UDP", () => {
  test("over a WebSocket the same commands, and 64 MiB each way exact", async () => {
    await overTcp();
    const result = await bulkPipe(
      ["exec", "--transport", "tcp", "dev", "--", "cat"],
      vault.env,
      64,
    );
    expect(result).toMatchObject({ exitCode: 0, receivedBytes: 64 * 1024 ** 2 });
    expect(result.received).toBe(result.sent);
  });

  test("is noticed, said once, and remembered", async () => {
    // It takes everything and says nothing.
    const hole = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
    try {
      await overTcp({ address: `127.0.0.1:${hole.port}` });
      const first = await vault.client(["exec", "dev", "--", "echo", "through"]);
      expect(first).toMatchObject({ exitCode: 0, text: "through\n" });
      expect(first.stderr).toContain("UDP");
      const second = await vault.client(["exec", "dev", "--", "echo", "again"]);
      expect(second).toMatchObject({ exitCode: 0, text: "again\n", stderr: "" });
    } finally {
      hole.close();
    }
  });
});

test("SIGTERM: clients are told, new ones refused, and a console goes on at the next proxy", async () => {
  const leaving = await startLocalProxy(fly, { ...place(), argv: ["--drain-secs", "8"] });
  await throughProxy({ address: leaving.address });
  const terminal = vault.terminal(["connect", "dev", "--take-over"]);
  try {
    await terminal.expect(/[#$] /);
    leaving.kill("SIGTERM");
    await untilMetric(leaving, "vault_proxy_hints_total", 1);
    terminal.type("echo drain$((1+1))\n");
    await terminal.expect(/drain2/);
    const refused = await vault.client(["exec", "dev", "--", "true"]);
    expect([refused.exitCode, refused.text]).toEqual([6, ""]);
    expect(await leaving.exited).toBe(0);
    const next = await startLocalProxy(fly, { ...place(), address: leaving.address });
    terminal.type("echo next$((1+2))\n");
    await terminal.expect(/next3/);
    terminal.kill("SIGKILL");
    await next.stop();
  } finally {
    terminal.kill("SIGKILL");
    await terminal.exited;
  }
  // All that it said is here.
  await leaving.stop();
  const events = eventsIn(leaving.log()).map(({ event }) => event);
  expect(events).toContain("draining");
  expect(events.at(-1)).toBe("stopped");
});

test("without a key it does not start, and says what makes one", async () => {
  const env = { FLY_APP: tenant.app, FLY_API_TOKEN: "x", FLY_API_BASE: fly.apiBase };
  const refused = await run("vault-proxy", ["--port", "0"], { env });
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain("fly-vault-admin proxy-key new");
});

async function untilMetric(of: LocalProxy, name: string, least: number): Promise<void> {
  for (let looks = 0; looks < 1500; looks++) {
    if (((await of.metrics()).get(name) ?? 0) >= least) return;
    await Bun.sleep(20);
  }
  throw new Error(`${name} stays below ${least}`);
}

async function overTcp(changes: Readonly<Record<string, string>> = {}): Promise<void> {
  await throughProxy({
    web_address: `ws://127.0.0.1:${proxy.httpPort}/v1/datagrams`,
    ...changes,
  });
}

async function stopMachine(): Promise<void> {
  const machine = `${fly.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}`;
  const headers = { authorization: `Bearer ${fly.apiToken}`, "content-type": "application/json" };
  const stopped = await fetch(`${machine}/stop`, { method: "POST", headers, body: "{}" });
  expect(stopped.status).toBe(200);
  expect((await fetch(`${machine}/wait?state=stopped&timeout=30`, { headers })).status).toBe(200);
}
