import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LocalFly, startLocalFly, type Tenant } from "../support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../support/local-vault.ts";
import { makeRootfsArchive } from "../support/rootfs-archive.ts";

setDefaultTimeout(60_000);

/** A machine with an admission key, made by the admin, put into its configuration, and used by the client. */
let fly: LocalFly;
let vault: LocalVault;
let admissionKey: string;

beforeAll(async () => {
  fly = await startLocalFly();
  const tenant = await fly.createTenant("acme");
  vault = await makeLocalVault(fly, tenant);
  await vault.configure({ rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }) });
  const master = join(fly.folder, "master");
  await writeFile(master, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600 });
  const derived = await fly.admin([
    "admission-key",
    "derive",
    "--master-file",
    master,
    tenant.machineId,
  ]);
  expect(derived.exitCode).toBe(0);
  admissionKey = derived.text.trim();
  await giveToMachine(tenant, admissionKey);
});

afterAll(async () => {
  await fly.stop();
});

test("a client with the key gets in, again and again", async () => {
  await vault.configure({
    admission_key: admissionKey,
    rootfs: await makeRootfsArchive(fly.folder, { format: "tar.zst" }),
  });
  for (const word of ["first", "second"]) {
    const said = await vault.client(["exec", "dev", "--", "echo", word]);
    expect(said).toMatchObject({ exitCode: 0, text: `${word}\n` });
  }
});

test("a client without it gets no answer, and is told what may be wrong", async () => {
  await vault.configure({});
  const refused = await vault.client(["exec", "dev", "--", "true"]);
  expect(refused.exitCode).toBe(6);
  expect(refused.stderr).toContain("did not answer");
  expect(refused.stderr).toContain("admission_key");
});

/** As `fly machine update --env` does: a new configuration, and a new start with it. */
async function giveToMachine({ app, machineId }: Tenant, key: string): Promise<void> {
  const machine = `${fly.apiBase}/v1/apps/${app}/machines/${machineId}`;
  const headers = { authorization: `Bearer ${fly.apiToken}`, "content-type": "application/json" };
  const { config } = (await (await fetch(machine, { headers })).json()) as {
    config: { env: Record<string, string> };
  };
  const env = { ...config.env, VAULT_ADMISSION_KEY: key };
  const body = JSON.stringify({ config: { ...config, env } });
  const updated = await fetch(machine, { method: "POST", headers, body });
  expect(updated.status).toBe(200);
  const { instance_id } = (await updated.json()) as { instance_id: string };
  const wait = `${machine}/wait?state=started&instance_id=${instance_id}&timeout=30`;
  expect((await fetch(wait, { headers })).status).toBe(200);
}
