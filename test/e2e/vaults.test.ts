import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LocalFly, startLocalFly } from "../support/local-fly.ts";
import { run, type RunOptions, type RunResult } from "../support/program.ts";
import { secretTraces } from "../support/secret-traces.ts";
import { tenantTemplate } from "../support/tenant-template.ts";

setDefaultTimeout(120_000);

/** The first minute with the compiled program: a tenant is made, its invite is added, and it answers. */
let fly: LocalFly;
let home: string;

beforeAll(async () => {
  fly = await startLocalFly();
  home = await mkdtemp(join(fly.folder, "home-"));
});
afterAll(async () => {
  await fly.stop();
});

async function client(words: string, options: RunOptions = {}): Promise<RunResult> {
  return run("fly-vault", words.split(" "), {
    cwd: home,
    ...options,
    env: { HOME: home, ...options.env },
  });
}

test("from a tenant to a vault that is verified, with the token nowhere in sight", async () => {
  const template = join(fly.folder, "t.toml");
  await writeFile(template, tenantTemplate("vault-tenants"));
  const invite = join(fly.folder, "acme.invite");
  const words = ["tenant", "create", "acme", "--template", template, "--invite-file", invite];
  const made = await fly.admin(words);
  expect(made.stderr).toContain("fly-vault add --from FILE");
  const token = /access_token = "(.*)"/.exec(made.text)?.[1] ?? "";
  expect(token).toStartWith("fvt1_");
  const added = await client(`add dev --from ${invite}`);
  expect([added.exitCode, added.stderr]).toEqual([0, expect.stringContaining("✓ token accepted")]);
  const verified = await client("verify --json");
  expect(JSON.parse(verified.text).data).toMatchObject({
    vault: "dev",
    machine: { standing: "pinned" },
  });
  const shown = await client("vault show");
  const all = await client("config show --origin");
  const listed = await client("vault ls");
  expect(listed.text).toContain("dev ");
  expect((await client("verify nope")).exitCode).toBe(3);
  const said = [added, verified, shown, all, listed]
    .map(({ text, stderr }) => text + stderr)
    .join("");
  expect(secretTraces(Buffer.from(said), token, "vault-tenants")).toEqual([]);
  const folder = join(home, ".config/fly-vault");
  expect(await readFile(join(folder, "config.toml"), "utf8")).not.toContain(token);
  expect((await readFile(join(folder, "dev.token"), "utf8")).trim()).toBe(token);
  expect((await client("vault rm dev --yes")).exitCode).toBe(0);
  expect(await readdir(folder)).not.toContain("dev.token");
});
