import { afterEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";
import { programEnv } from "../../support/program.ts";
import { seed, seededRandom } from "../../support/seed.ts";
import type { Fault } from "./fault-proxy.ts";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

/**
 * A real fly-vault-admin, killed with SIGKILL just before or just after the API does what it asks for.
 * The same command again ends where the first one wanted to be.
 */
const main = fileURLToPath(new URL("../../../src/main.ts", import.meta.url));

let stage: AdminStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

async function killedAt(
  rule: { readonly on: string; readonly nth?: number; readonly fault: Fault },
  words: readonly string[],
  prepare: (at: AdminStage) => Promise<unknown>,
): Promise<AdminStage> {
  const at = await openAdminStage([]);
  const { rules } = at;
  stage = at;
  await prepare(at);
  const before = at.proxy.calls.filter((call) => ["*", call].includes(rule.on)).length;
  const struck = Promise.withResolvers<undefined>();
  const strike = (): void => struck.resolve(undefined);
  rules.push({ ...rule, nth: before + (rule.nth ?? 1), strike });
  const child = Bun.spawn([process.execPath, main, "admin", ...words], {
    cwd: at.dir,
    env: programEnv(at.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
  const ended = child.exited.then(async () => new Response(child.stderr).text());
  const early = await Promise.race([struck.promise, ended]);
  if (early !== undefined && rule.on !== "*")
    throw new Error(`It ended before it was killed: ${early}`);
  child.kill("SIGKILL");
  await child.exited;
  rules.splice(0);
  return at;
}

const createWords = ["tenant", "create", "acme", "--template", "tenant.template.toml"];
const deleteWords = ["tenant", "delete", "acme", "--yes"];
const nothing = async (): Promise<void> => undefined;
const createWith = (template: string) => ["tenant", "create", "acme", "--template", template];
const create = async (at: AdminStage) => at.admin(...createWith(at.template));

/** A volume with data on it, whose machine somebody removed by hand. */
async function leaveVolume(at: AdminStage): Promise<void> {
  await create(at);
  const [machine] = await at.machines();
  await fetch(`${at.fly.apiBase}/v1/apps/${app}/machines/${machine?.id}?force=true`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${at.fly.apiToken}` },
  });
}

async function createsAgain(at: AdminStage): Promise<void> {
  const before = await at.machines();
  const isFinished = before.some(({ config }) => !("fly_vault.unfinished" in config.metadata));
  const again = await at.admin("tenant", "create", "acme", "--template", at.template);
  const machines = await at.machines();
  const label = again.err;
  expect([label, machines.length, (await at.volumes()).length]).toEqual([label, 1, 1]);
  expect(machines[0]?.config.metadata).not.toHaveProperty("fly_vault.unfinished");
  expect([label, again.exitCode]).toEqual([label, isFinished ? 7 : 0]);
  if (isFinished) return;
  const { vault } = parse(again.out) as { vault: Record<string, Record<string, string>> };
  expect(vault["acme"]).toMatchObject({
    machine_id: machines[0]?.id ?? "",
    access_token: machines[0]?.config.env["ACCESS_TOKEN"] ?? "",
  });
}

async function deletesAgain(at: AdminStage): Promise<void> {
  const isGone = (await at.machines()).length + (await at.volumes()).length === 0;
  const again = await at.admin(...deleteWords);
  const label = again.err;
  expect([label, await at.machines(), await at.volumes()]).toEqual([label, [], []]);
  expect([label, again.exitCode]).toEqual([label, isGone ? 3 : 0]);
}

describe("create, killed", () => {
  for (const on of ["POST /volumes", "POST /machines", "PATCH /machines/*/metadata"])
    for (const fault of ["hang", "done-but-hang"] as const)
      test(`at ${on} (${fault}), goes on`, async () => {
        await createsAgain(await killedAt({ on, fault }, createWords, nothing));
      }, 120_000);

  test("beside an older volume of that name: somebody's data is not taken for the new one", async () => {
    const words = [...createWords, "--new-volumes"];
    const at = await killedAt({ on: "POST /volumes", fault: "hang" }, words, leaveVolume);
    const [old] = await at.volumes();
    expect(await create(at)).toMatchObject({ exitCode: 0 });
    const [machine] = await at.machines();
    expect((await at.volumes()).length).toBe(2);
    expect(JSON.stringify(machine)).not.toContain(old?.id ?? "");
  }, 120_000);

  test("and the next run fails before it finds the volume: a third one still does", async () => {
    const at = await killedAt({ on: "POST /machines", fault: "hang" }, createWords, nothing);
    const before = at.proxy.calls.filter((call) => call === "GET /volumes").length;
    at.rules.push({ on: "GET /volumes", nth: before + 2, fault: "403" });
    expect((await create(at)).exitCode).toBe(4);
    await createsAgain(at);
  }, 120_000);

  test("and the machine ended meanwhile: it is started again", async () => {
    const at = await killedAt(
      { on: "PATCH /machines/*/metadata", fault: "hang" },
      createWords,
      nothing,
    );
    const [machine] = await at.machines();
    const path = `${at.fly.apiBase}/v1/apps/${app}/machines/${machine?.id}`;
    const headers = { authorization: `Bearer ${at.fly.apiToken}` };
    await fetch(`${path}/stop`, { method: "POST", headers });
    await fetch(`${path}/wait?state=stopped&timeout=10`, { headers });
    await createsAgain(at);
    expect((await at.machines())[0]?.state).toBe("started");
  }, 120_000);

  test("nobody knows of it elsewhere: says which volume is there, and makes none", async () => {
    const at = await killedAt({ on: "POST /machines", fault: "hang" }, createWords, nothing);
    const [left] = await at.volumes();
    rmSync(join(at.dir, "home"), { recursive: true });
    const elsewhere = await create(at);
    expect([elsewhere.exitCode, elsewhere.err.includes(left?.id ?? "?")]).toEqual([7, true]);
    expect((await at.volumes()).length).toBe(1);
  }, 120_000);

  test("with another token or template: says so, and changes nothing", async () => {
    const at = await killedAt(
      { on: "POST /machines", fault: "done-but-hang" },
      createWords,
      nothing,
    );
    const [machine] = await at.machines();
    const token = at.write("token", "another");
    const other = await at.admin(...createWith(at.template), "--access-token-file", token);
    expect([other.exitCode, other.err.includes("another access token")]).toEqual([7, true]);
    const text = templateText.replace("init:latest", "init:older");
    const older = await at.admin(...createWith(at.write("older.toml", text)));
    expect([older.exitCode, older.out]).toEqual([7, ""]);
    expect(older.err).toContain(`machine ${machine?.id} (started): ~ image: `);
    expect(older.err).not.toContain(machine?.config.env["ACCESS_TOKEN"] ?? "?");
    expect((await at.machines()).map(({ id }) => id)).toEqual([machine?.id ?? ""]);
  }, 120_000);
});

describe("delete, killed", () => {
  const calls = ["POST /machines/*/stop", "DELETE /machines/*", "DELETE /volumes/*"];
  for (const on of calls)
    for (const fault of ["hang", "done-but-hang"] as const)
      test(`at ${on} (${fault}), goes on`, async () => {
        await deletesAgain(await killedAt({ on, fault }, deleteWords, create));
      }, 120_000);
});

const createTwo = async (at: AdminStage): Promise<void> => {
  const text = templateText.replace("machine_count = 1", "machine_count = 2");
  const made = await at.admin(...createWith(at.write("two.toml", text)));
  expect([made.err, made.exitCode]).toEqual([made.err, 0]);
};
const tokensOf = async (at: AdminStage) =>
  (await at.machines()).map(({ config }) => config.env["ACCESS_TOKEN"]);

describe("rotate-token, killed", () => {
  const words = ["tenant", "rotate-token", "acme"];
  for (const on of ["POST /machines/*/lease", "POST /machines/*", "DELETE /machines/*/lease"])
    for (const fault of ["hang", "done-but-hang"] as const)
      test(`at ${on} (${fault}), goes on with the token that a machine has`, async () => {
        let before: string | undefined;
        const at = await killedAt({ on, fault }, words, async (prepared) => {
          await createTwo(prepared);
          [before] = await tokensOf(prepared);
        });
        const given = (await tokensOf(at)).find((token) => token !== before);
        // Half a minute later.
        const call = "POST /v1/apps/{app}/machines/{id}/lease";
        at.fly.faults.install({ faults: [{ call, do: { kind: "lose-lease" } }] });
        const again = await at.admin(...words);
        const label = again.err;
        const [one, two, ...more] = await tokensOf(at);
        expect([label, again.exitCode, two, more]).toEqual([label, 0, one, []]);
        expect(one).not.toBe(before);
        if (given !== undefined) expect(one).toBe(given);
        expect(again.out.split(one ?? "none").length).toBe(3);
      }, 120_000);
});

test("at calls picked by chance", async () => {
  const random = seededRandom(seed);
  const rounds = process.env["FV_SOAK"] === undefined ? 2 : 100;
  for (let round = 0; round < rounds; round += 1) {
    const isCreate = random() < 0.5;
    const nth = 1 + Math.floor(random() * 14);
    const fault = random() < 0.5 ? "hang" : "done-but-hang";
    const at = await killedAt(
      { on: "*", nth, fault },
      isCreate ? createWords : deleteWords,
      isCreate ? nothing : create,
    );
    await (isCreate ? createsAgain(at) : deletesAgain(at));
    await stage?.close();
    stage = undefined;
  }
}, 600_000);
