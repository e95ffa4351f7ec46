import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { parse } from "smol-toml";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import type { RunResult } from "../support/program.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

setDefaultTimeout(60_000);

/** A machine with admission keys, and how they are changed while its clients go on: docs/proxy.md, "Rotation". */
let fly: LocalFly;
let tenant: Tenant;
let vault: LocalVault;
let rootfs: string;
/** The client's key of each epoch. */
const keys: string[] = [];

beforeAll(async () => {
  fly = await startLocalFly();
  tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  rootfs = await makeRootfsArchive(fly.folder, { format: "tar.zst" });
  await proxyKey("new");
  keys.push(await rekey());
});

afterAll(async () => {
  await fly.stop();
});

async function proxyKey(command: string): Promise<void> {
  const done = await fly.admin(["proxy-key", command, "--key-file", join(fly.folder, "proxy.key")]);
  expect(done.exitCode).toBe(0);
}

/** Gives the machine the keys of the file; returns what its clients are to have. */
async function rekey(): Promise<string> {
  const keyFile = join(fly.folder, "proxy.key");
  const done = await fly.admin(["tenant", "rekey", "acme", "--key-file", keyFile]);
  expect(done.exitCode).toBe(0);
  const { vault: vaults } = parse(done.text) as {
    vault: Record<string, { admission_key: string }>;
  };
  return vaults["acme"]?.admission_key ?? "";
}

async function say(word: string, key: string | undefined, from = vault): Promise<RunResult> {
  await from.configure({ admission_key: key, rootfs });
  return from.client(["exec", "dev", "--", "echo", word]);
}

test("a client with the key gets in, again and again", async () => {
  for (const word of ["first", "second"])
    expect(await say(word, keys[0])).toMatchObject({ exitCode: 0, text: `${word}\n` });
});

test("a rotation: while two keys are live, old clients go on and new ones get in", async () => {
  await proxyKey("rotate");
  keys.push(await rekey());
  const [old, current] = keys;
  expect(current).toStartWith("fva1_1_");
  expect(await say("old", old)).toMatchObject({ exitCode: 0, text: "old\n" });
  expect(await say("new", current)).toMatchObject({ exitCode: 0, text: "new\n" });
});

test("once the old key is retired, it opens nothing more; nor did ever none", async () => {
  await proxyKey("retire");
  expect(await rekey()).toBe(keys[1] ?? "");
  expect(await say("current", keys[1])).toMatchObject({ exitCode: 0, text: "current\n" });
  const others = [keys[0], undefined].map(async (key) =>
    say("nothing", key, await makeLocalVault(fly, tenant)),
  );
  for (const refused of await Promise.all(others)) {
    expect(refused.exitCode).toBe(6);
    expect(refused.stderr).toContain("did not answer");
    expect(refused.stderr).toContain("admission_key");
  }
});
