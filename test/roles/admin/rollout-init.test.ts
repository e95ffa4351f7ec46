import { afterEach, expect, test } from "bun:test";
import { selfCommand } from "../../../src/system/self.ts";
import { type AdminStage, app, openAdminStage } from "./stage.ts";

/** Machines that really run: init is asked whether it is there. */
let stage: AdminStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const image = `registry.fly.io/${app}/init@sha256:${"a".repeat(64)}`;
const everywhere = ["tenant", "update-image", "--image", image, "--all-tenants"];

async function create(on: AdminStage, ...more: readonly string[]): Promise<void> {
  const words = ["tenant", "create", "acme", "--template", on.template, ...more];
  expect((await on.admin(...words)).exitCode).toBe(0);
}

test("a real init shakes hands after its update, with an admission key", async () => {
  const on = (stage = await openAdminStage([], { entrypoint: selfCommand("init") }));
  const keyFile = `${on.dir}/proxy.key`;
  await on.admin("proxy-key", "new", "--key-file", keyFile);
  await create(on, "--proxy", "127.0.0.1:9443", "--key-file", keyFile);
  const done = await on.admin(...everywhere, "--soak-secs", "0", "--json");
  expect([done.exitCode, done.err]).toEqual([0, ""]);
  expect(done.out).toContain('"step":"handshake"');
  expect(done.out).toContain('"outcome":"updated"');
}, 120_000);

test("what runs but is no init does not get through; --no-handshake does not ask", async () => {
  const on = (stage = await openAdminStage());
  await create(on);
  const quick = ["--soak-secs", "0", "--health-timeout-secs", "1"];
  const done = await on.admin(...everywhere, ...quick);
  expect([done.exitCode, done.err]).toEqual([8, expect.stringContaining("did not shake hands")]);
  expect(done.err).toContain("init does not shake hands without an admission key");
  const [id = ""] = /r-\d+-\d+/.exec(done.err) ?? [];
  const resumed = await on.admin("tenant", "update-image", "--resume", id, "--no-handshake");
  expect([resumed.exitCode, resumed.err.includes("mend the image")]).toEqual([8, true]);
  expect((await on.admin(...everywhere, ...quick, "--no-handshake")).exitCode).toBe(0);
}, 120_000);
