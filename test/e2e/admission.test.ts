import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import { type LocalProxy, startLocalProxy } from "../support/local-proxy.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import type { RunResult } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";
import { tenantTemplate } from "../support/tenant-template.ts";

setDefaultTimeout(120_000);

/** docs/proxy.md, as an administrator goes through it: a key, a proxy, a tenant, and a rotation. */
const app = "vault-tenants";
let fly: LocalFly;
let proxy: LocalProxy;
let tenant: Tenant;
let vault: LocalVault;
let rootfs: string;
/** The client's key of each epoch. */
const keys: string[] = [];
const keyFile = (): string => join(fly.folder, "proxy.key");

beforeAll(async () => {
  fly = await startLocalFly();
  rootfs = await makeRootfsArchive(fly.folder, { format: "tar.zst" });
  await admin("proxy-key", "new");
  proxy = await startLocalProxy(fly, { app, keyFile: keyFile() });
  const template = join(fly.folder, "template.toml");
  await writeFile(template, tenantTemplate(app));
  const proxyWords = ["--template", template, "--proxy", proxy.address];
  const entry = entryOf(await admin("tenant", "create", "acme", ...proxyWords));
  keys.push(entry["admission_key"] ?? "");
  tenant = {
    id: "acme",
    app,
    machineId: entry["machine_id"] ?? "",
    address: entry["address"] ?? "",
    accessToken: entry["access_token"] ?? "",
  };
  vault = await makeLocalVault(fly, tenant);
});

afterAll(async () => {
  await proxy.stop();
  await fly.stop();
});

/** Whatever is printed; all these commands take the key file. */
async function admin(...words: readonly string[]): Promise<string> {
  const done = await fly.admin([...words, "--key-file", keyFile()]);
  expect([done.exitCode, done.stderr.includes("error")]).toEqual([0, false]);
  return done.text;
}

function entryOf(toml: string): Record<string, string> {
  const { vault: vaults } = parse(toml) as { vault: Record<string, Record<string, string>> };
  return vaults["acme"] ?? {};
}

/** Proxy first, then the machine; returns what its clients are to have. */
async function handOut(): Promise<string> {
  const { address } = proxy;
  await proxy.stop();
  proxy = await startLocalProxy(fly, { app, keyFile: keyFile(), address });
  const entry = entryOf(await admin("tenant", "rekey", "acme", "--proxy", address));
  expect(entry).toMatchObject({ address, machine_id: tenant.machineId });
  return entry["admission_key"] ?? "";
}

async function say(
  word: string,
  changes: Readonly<Record<string, string | undefined>>,
  from = vault,
): Promise<RunResult> {
  await from.configure({ rootfs, ...changes });
  return from.client(["exec", "dev", "--", "echo", word]);
}

test("the entry that was printed leads through the proxy, and the key is in no log", async () => {
  expect(tenant.address).toBe(proxy.address);
  for (const word of ["first", "second"])
    expect(await say(word, { admission_key: keys[0] })).toMatchObject({ text: `${word}\n` });
  const logs = proxy.log() + (await readFile(join(fly.folder, "fly.log"), "utf8"));
  expect(logs).not.toContain((keys[0] ?? "").slice(-64));
});

test("a rotation: while two keys are live, old clients go on and new ones get in", async () => {
  await admin("proxy-key", "rotate");
  keys.push(await handOut());
  const [old, current] = keys;
  expect(current).toStartWith("fva1_1_");
  expect(await say("old", { admission_key: old })).toMatchObject({ text: "old\n" });
  expect(await say("new", { admission_key: current })).toMatchObject({ text: "new\n" });
});

test("once the old key is retired, it opens nothing more; nor did ever none", async () => {
  await admin("proxy-key", "retire");
  expect(await handOut()).toBe(keys[1] ?? "");
  expect(await say("current", { admission_key: keys[1] })).toMatchObject({ text: "current\n" });
  const address = await machineAddress();
  const strangers = [{ admission_key: keys[0] }, { admission_key: keys[0], address }, { address }];
  const refusals = strangers.map(async (changes) =>
    say("nothing", changes, await makeLocalVault(fly, tenant)),
  );
  for (const refused of await Promise.all(refusals)) {
    expect([refused.exitCode, refused.text]).toEqual([6, ""]);
    expect(refused.stderr).toContain("did not answer");
    expect(refused.stderr).toContain("admission_key");
  }
});

async function machineAddress(): Promise<string> {
  const listed = await fly.admin(["tenant", "list", "--json"]);
  const [row] = JSON.parse(listed.text) as { machines: { private_ip: string }[] }[];
  return `${row?.machines[0]?.private_ip}:8443`;
}
