import { afterEach, expect, test } from "bun:test";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 15_000);

const image = `registry.fly.io/${app}/init@sha256:${"a".repeat(64)}`;
const quick = ["--no-handshake", "--soak-secs", "0"];
const create = async (on: AdminStage, tenant: string, count = 1) => {
  const text = templateText.replace("machine_count = 1", `machine_count = ${count}`);
  const made = await on.admin("tenant", "create", tenant, "--template", on.write("of.toml", text));
  expect(made.exitCode).toBe(0);
};
const update = async (on: AdminStage, ...words: readonly string[]) =>
  on.admin("tenant", "update-image", "--image", image, ...quick, ...words);

test("try", async () => {
  const on = (stage = await openAdminStage());
  await create(on, "acme", 2);
  await create(on, "zeta");
  const done = await update(on, "--all-tenants");
  console.log(done.exitCode, done.out, done.err);
  console.log(on.proxy.calls.slice(-30));
  console.log(JSON.stringify((await on.machines()).map((m) => [m.state, m.config])));
  const again = await update(on, "--all-tenants", "--json");
  console.log(again);
}, 30_000);
