import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AdminStage, app, openAdminStage } from "../roles/admin/stage.ts";

let stage: AdminStage;
let file: string;
beforeAll(async () => {
  stage = await openAdminStage();
  const path = join(import.meta.dir, "../../examples/tenant.template.toml");
  file = stage.write(
    "t.toml",
    readFileSync(path, "utf8").replace('app = "my-vaults"', `app = "${app}"`),
  );
});
afterAll(async () => stage.close());

const apply = async () => stage.admin("tenant", "apply", "acme", "-f", file);

test("the example of a template is taken whole, without a warning", async () => {
  const { exitCode, out, err } = await stage.admin(
    "tenant",
    "create",
    "acme",
    "--template",
    file,
    "--dry-run",
  );
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: "" });
  const [machine] = JSON.parse(out);
  expect(machine).toMatchObject({
    name: "tenant-acme-1",
    config: {
      guest: { memory_mb: 2048 },
      mounts: [{ path: "/data", volume: "<auto:tvol_acme_1@ord>" }],
      env: { VAULT_IDLE_STOP: "30m" },
    },
  });
  expect(out).not.toContain("{{");
});

test("it makes a tenant, and applied again changes nothing", async () => {
  const made = await apply();
  expect([made.exitCode, made.out.includes("[vault.acme]")]).toEqual([0, true]);
  expect(await apply()).toMatchObject({ exitCode: 0, out: "" });
});
