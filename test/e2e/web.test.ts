import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../support/free-port.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import {
  type LocalProxy,
  makeProxyKeys,
  type ProxyKeys,
  startLocalProxy,
} from "../support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

setDefaultTimeout(120_000);

/** A client that comes by TCP alone to a tenant behind a proxy. */
let fly: LocalFly;
let keys: ProxyKeys;
let proxy: LocalProxy;
let tenant: Tenant;
let vault: LocalVault;
let httpPort: number;

beforeAll(async () => {
  fly = await startLocalFly();
  keys = await makeProxyKeys(fly);
  // For every web process that there is one after the other.
  httpPort = freePort();
  proxy = await startLocalProxy(fly, { app: "vault-tenants", keyFile: keys.file, httpPort });
  tenant = await fly.createTenant("acme", ["--proxy", proxy.address, "--key-file", keys.file]);
  vault = await makeLocalVault(fly, tenant);
  await vault.configure({
    // Nobody listens there.
    address: "127.0.0.1:9",
    transport: "tcp",
    web_address: `ws://127.0.0.1:${httpPort}/v1/datagrams`,
    admission_key: keys.keyOf(tenant.machineId),
    rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }),
  });
});

afterAll(async () => {
  await proxy.stop();
  await fly.stop();
});

test("a machine that is stopped is started for who comes by TCP, too", async () => {
  const provisioned = await vault.client(["exec", "dev", "--", "echo", "provisioned"]);
  expect(provisioned).toMatchObject({ exitCode: 0, text: "provisioned\n" });
  const machine = `${fly.apiBase}/v1/apps/${tenant.app}/machines/${tenant.machineId}`;
  const headers = { authorization: `Bearer ${fly.apiToken}`, "content-type": "application/json" };
  await fetch(`${machine}/stop`, { method: "POST", headers, body: "{}" });
  const wait = `${machine}/wait?state=stopped&timeout=30`;
  expect((await fetch(wait, { headers })).status).toBe(200);
  const said = await vault.client(["exec", "dev", "--", "echo", "awake"]);
  expect(said).toMatchObject({ exitCode: 0, text: "awake\n" });
});

test("a console outlives the web process, the relay, and the whole proxy", async () => {
  const terminal = vault.terminal(["connect", "dev", "--take-over"]);
  let turn = 0;
  const answers = async (): Promise<void> => {
    turn += 1;
    terminal.type(`echo turn-$((${turn}*100))\n`);
    await terminal.expect(new RegExp(`turn-${turn}00`));
  };
  try {
    await terminal.expect(/[#$] /);
    await answers();
    for (const part of ["web", "relay"] as const) {
      const killed = proxy.pidOf(part);
      proxy.killPart(part);
      await answers();
      expect(proxy.pidOf(part)).not.toBe(killed);
    }
    proxy.kill("SIGTERM");
    await proxy.exited;
    proxy = await startLocalProxy(fly, { app: tenant.app, keyFile: keys.file, httpPort });
    await answers();
  } finally {
    terminal.kill("SIGKILL");
    await terminal.exited;
  }
});
