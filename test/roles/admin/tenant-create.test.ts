import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeInvite } from "../../../src/fly/invite.ts";
import { main } from "../../../src/roles/admin/main.ts";
import { memoryContext } from "../../support/memory-context.ts";
import { type AdminStage, openAdminStage, templateText, withoutWaiting } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (...given: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...given);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const create = async (on: AdminStage, template: string, ...words: readonly string[]) =>
  on.admin("tenant", "create", "acme", "--template", template, ...words);
const counts = async (on: AdminStage) => [
  (await on.machines()).length,
  (await on.volumes()).length,
];
const journals = (on: AdminStage): string[] => {
  const folder = join(on.dir, "home", "admin", "creations");
  return readdirSync(folder).map((name) => join(folder, name));
};

/** What is said of a machine whose first process is this. */
const ends = async (script: string, policy: string) => {
  const on = await open([], { entrypoint: ["/bin/sh", "-c", script] });
  const text = `${templateText}[machine.config.restart]\npolicy = "${policy}"\n`;
  // One that stays down is found down before the time is over.
  const staySecs = policy === "no" ? "20" : "1";
  const result = await create(on, on.write("t.toml", text), "--stay-secs", staySecs);
  expect(await counts(on)).toEqual([0, 0]);
  expect([result.exitCode, result.out]).toEqual([1, ""]);
  expect(result.err).toContain("did not stay started");
  await on.close();
  return result.err;
};

describe("a machine that does not stay started was not made", () => {
  test("whatever its restart policy, and its end is told", async () => {
    expect(await ends("exit 3", "no")).toContain("exit code 3");
    expect(await ends("exit 0", "no")).toContain("exit code 0");
    expect(await ends("exit 4", "always")).toContain("exit code 4");
    expect(await ends("sleep 0.3; exit 5", "no")).toContain("exit code 5");
    expect(await ends("kill -9 $$", "no")).toMatch(/SIGKILL|signal 9/);
  }, 120_000);

  test("one that runs is made, as soon as the time is over", async () => {
    const on = await open();
    expect((await create(on, on.template, "--stay-secs", "1")).exitCode).toBe(0);
  });
});

test("the token may come from standard input, and then is in no list of processes", async () => {
  const on = await open();
  const stdin = [new TextEncoder().encode("typed-or-piped\n")];
  const context = withoutWaiting(memoryContext({ env: on.env, stdin }));
  const words = ["tenant", "create", "acme", "--template", on.template, "--access-token-file", "-"];
  expect(await main(words, context)).toBe(0);
  expect((await on.machines())[0]?.config.env["ACCESS_TOKEN"]).toBe("typed-or-piped");
});

describe("an invite", () => {
  test("is written for its owner alone, and holds what the entry does", async () => {
    const on = await open();
    const path = join(on.dir, "acme.invite");
    const made = await create(on, on.template, "--invite-file", path, "--json");
    const [entry] = JSON.parse(made.out).data;
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const { name, ...invite } = decodeInvite(readFileSync(path, "utf8"));
    expect({ vault: name, ...invite, admission_key: null }).toEqual(entry);
    expect(made.err).not.toContain(entry.access_token);
    expect(made.err).not.toContain("fly-vault://");
  });

  test("is shown once on a terminal, and never in a pipe", async () => {
    const on = await open();
    const context = withoutWaiting(memoryContext({ env: on.env, tty: true }));
    await main(["tenant", "create", "acme", "--template", on.template], context);
    expect(context.err()).toMatch(/shown this once:\nfly-vault:\/\/v1\/\S+\n/);
    expect(context.out()).not.toContain("fly-vault://");
    const piped = await on.admin("tenant", "create", "other", "--template", on.template);
    expect(piped.err).not.toContain("fly-vault://");
  });

  test("that cannot be written leaves no tenant that nobody could log in to", async () => {
    const on = await open();
    const made = await create(on, on.template, "--invite-file", "/proc/none/x");
    expect(made.exitCode).not.toBe(0);
    expect(await counts(on)).toEqual([0, 0]);
  });
});

describe("what is noted here while a tenant is made", () => {
  test("holds no secret, is for the owner alone, and is gone at the end", async () => {
    const texts: string[] = [];
    const on: AdminStage = await open([
      { on: "POST /machines", nth: 1, fault: "429", strike: () => note() },
    ]);
    const note = (): void => {
      for (const path of journals(on)) {
        texts.push(readFileSync(path, "utf8"));
        expect(statSync(path).mode & 0o777).toBe(0o600);
      }
    };
    await create(on, on.template);
    expect(JSON.parse(texts[0] ?? "")).toMatchObject({ version: 1, asked: "machine 1" });
    expect(texts[0]).not.toContain((await on.machines())[0]?.config.env["ACCESS_TOKEN"] ?? "");
    expect(journals(on)).toEqual([]);
  });

  test("cannot be noted: says so, and nothing is made", async () => {
    const on = await open();
    writeFileSync(join(on.dir, "home"), "a file where the folder should be");
    const result = await create(on, on.template);
    expect([result.exitCode, result.err.includes("FLY_VAULT_HOME")]).toEqual([1, true]);
    expect(await counts(on)).toEqual([0, 0]);
  });

  test("is not believed when it is damaged, of another version, old, or could be written by others", async () => {
    const on = await open([
      { on: "POST /machines", nth: 1, fault: "not-done-500" },
      { on: "DELETE /volumes/*", nth: 1, fault: "403" },
    ]);
    expect((await create(on, on.template)).exitCode).toBe(8);
    const [path = ""] = journals(on);
    const whole = readFileSync(path, "utf8");
    const record = JSON.parse(whole);
    const spoiled = [
      "",
      "{",
      whole.slice(0, 40),
      JSON.stringify({ ...record, version: 2 }),
      JSON.stringify({ ...record, begun_at_ms: Date.now() - 90_000_000 }),
      JSON.stringify({ ...record, begun_at_ms: Date.now() + 90_000_000 }),
      JSON.stringify({ ...record, run_id: "../x" }),
    ];
    for (const text of spoiled) {
      writeFileSync(path, text);
      const result = await create(on, on.template);
      expect([text, result.exitCode, result.err.includes("FV-ADM-012")]).toEqual([text, 7, true]);
    }
    writeFileSync(path, whole);
    chmodSync(path, 0o666);
    expect((await create(on, on.template)).exitCode).toBe(7);
    writeFileSync(path, whole, { mode: 0o600 });
    const goesOn = await create(on, on.template);
    expect([goesOn.exitCode, goesOn.err.includes("is there from an earlier run")]).toEqual([
      0,
      true,
    ]);
    expect(await counts(on)).toEqual([1, 1]);
  });

  test("a folder in its place is a failure of the system, not of ours", async () => {
    const on = await open([
      { on: "POST /machines", nth: 1, fault: "not-done-500" },
      { on: "DELETE /volumes/*", nth: 1, fault: "403" },
    ]);
    await create(on, on.template);
    const [path = ""] = journals(on);
    await Bun.file(path).delete();
    mkdirSync(path);
    const { exitCode, err } = await create(on, on.template);
    expect([exitCode, err.includes("FLY_VAULT_HOME")]).toEqual([1, true]);
  });
});

test("what another run has finished and shown meanwhile is not taken away", async () => {
  const others: string[] = [];
  const strike = async (): Promise<void> => {
    others.push((await create(on, on.template)).out);
  };
  const on = await open([{ on: "GET /machines/*", nth: 1, fault: "403", strike }]);
  const result = await create(on, on.template);
  expect([result.exitCode, result.out, others[0]?.includes("[vault.acme]")]).toEqual([8, "", true]);
  expect(result.err).toContain("which another run has finished meanwhile");
  expect(await counts(on)).toEqual([1, 1]);
});

test("two machines of one number are more than can be gone on with", async () => {
  const on = await open([{ on: "PATCH /machines/*/metadata", fault: "403" }]);
  await create(on, on.template);
  const [machine] = await on.machines();
  await fetch(`${on.fly.apiBase}/v1/apps/vault-tenants/machines`, {
    method: "POST",
    headers: { authorization: `Bearer ${on.fly.apiToken}` },
    body: JSON.stringify({ config: { ...machine?.config, mounts: [] } }),
  });
  const result = await create(on, on.template);
  expect([result.exitCode, result.err.includes("are both number 1")]).toEqual([7, true]);
  expect((await on.machines()).length).toBe(2);
});

test("what a call that broke off may have made is not looked for among others' machines", async () => {
  const on = await open();
  await on.admin("tenant", "create", "zeta", "--template", on.template);
  on.rules.push(
    { on: "GET /machines", fault: "unfiltered-list" },
    { on: "POST /machines", fault: "not-done-500" },
  );
  const result = await create(on, on.template);
  expect([result.exitCode, result.out]).toEqual([6, ""]);
  expect((await on.machines()).map(({ name }) => name)).toEqual(["tenant-zeta-1"]);
  expect((await on.volumes()).map(({ name }) => name)).toEqual(["tvol_zeta_1"]);
});

test("two runs at once: nobody is shown a token that the machine does not have", async () => {
  let other: string | undefined;
  const strike = async (): Promise<void> => {
    other ??= (await create(on, on.template)).out;
  };
  const on = await open([{ on: "POST /machines", nth: 1, fault: "none", strike }]);
  const result = await create(on, on.template);
  const [machine, ...more] = await on.machines();
  const token = machine?.config.env["ACCESS_TOKEN"] ?? "none";
  expect([more.length, other?.includes(token)]).toEqual([0, true]);
  expect(result.out === "" || result.out.includes(token)).toBe(true);
  expect([result.exitCode !== 0, result.err.includes("another run")]).toEqual([true, true]);
});

test("a secret's file that is named wins over a variable, and is never taken in part", async () => {
  const on = await open();
  const list = async (token: string, ...words: readonly string[]) => {
    const env = { ...on.env, FLY_API_TOKEN: token };
    const context = withoutWaiting(memoryContext({ env }));
    return { exitCode: await main(["tenant", "list", ...words], context), err: context.err() };
  };
  for (const broken of [`${on.fly.apiToken}\n${on.fly.apiToken}`, `\u200b${on.fly.apiToken}`]) {
    const { exitCode, err } = await list(broken);
    expect({ exitCode, err }).toEqual({
      exitCode: 4,
      err: expect.stringContaining("is not one line of plain text"),
    });
    expect(err).not.toContain(on.fly.apiToken);
  }
  const file = on.write("api-token", `${on.fly.apiToken}\n`);
  expect((await list("of-somebody-else", "--api-token-file", file)).exitCode).toBe(0);
  expect((await list("of-somebody-else")).exitCode).toBe(4);
  expect((await list("x", "--api-token", on.fly.apiToken, "--api-token-file", file)).err).toContain(
    "others can read --api-token",
  );
  const long = on.write("long", "x".repeat(8_193));
  for (const path of [long, "/dev/zero"]) {
    const refused = await create(on, on.template, "--access-token-file", path);
    expect([refused.exitCode, refused.err]).toEqual([
      2,
      expect.stringContaining("it has more than 8192 bytes"),
    ]);
  }
});

test("a volume of the same name that somebody else made meanwhile is not taken for ours", async () => {
  const on = await open([
    { on: "POST /machines", nth: 1, fault: "not-done-500" },
    { on: "DELETE /volumes/*", nth: 1, fault: "403" },
  ]);
  expect((await create(on, on.template)).exitCode).toBe(8);
  const [own] = await on.volumes();
  const headers = { authorization: `Bearer ${on.fly.apiToken}` };
  const volumes = `${on.fly.apiBase}/v1/apps/vault-tenants/volumes`;
  await fetch(`${volumes}/${own?.id}`, { method: "DELETE", headers });
  const body = JSON.stringify({ name: own?.name, region: "ord", size_gb: 1 });
  const made = await fetch(volumes, { method: "POST", headers, body });
  const { id } = (await made.json()) as { id: string };
  const result = await create(on, on.template);
  const [machine] = await on.machines();
  expect([result.exitCode, JSON.stringify(machine?.config).includes(id)]).toEqual([0, false]);
  expect((await counts(on))[1]).toBe(2);
});

test("of volumes that all tenants call the same, another's is neither taken nor removed", async () => {
  const on = await open();
  const shared = on.write(
    "shared.toml",
    templateText.replace("tvol_{{tenant_id}}_{{index}}", "data"),
  );
  let id = "";
  const strike = async (): Promise<void> => {
    const made = await fetch(`${on.fly.apiBase}/v1/apps/vault-tenants/volumes`, {
      method: "POST",
      headers: { authorization: `Bearer ${on.fly.apiToken}` },
      body: JSON.stringify({ name: "data", region: "ord", size_gb: 1 }),
    });
    ({ id } = (await made.json()) as { id: string });
  };
  on.rules.push({ on: "POST /volumes", nth: 1, fault: "not-done-500", strike });
  const result = await create(on, shared);
  expect([result.exitCode, await counts(on)]).toEqual([8, [0, 1]]);
  expect(result.err).toContain(`volume ${id} (data), which this run or another one has made`);
});

test("a machine that cannot be looked at any more may be another run's, and is left", async () => {
  const on = await open();
  // The wait comes to nothing; another run goes on and ends well; then this one may look no more.
  const others: number[] = [];
  const strike = async (): Promise<void> => {
    if (others.length > 0) return;
    others.push(0);
    others[0] = (await create(on, on.template)).exitCode;
    on.rules.splice(0, on.rules.length, { on: "GET /machines/*", fault: "403" });
  };
  on.rules.push({ on: "GET /machines/*", nth: 1, fault: "403", strike });
  const result = await create(on, on.template);
  expect([result.exitCode, result.out, others]).toEqual([8, "", [0]]);
  expect(await counts(on)).toEqual([1, 1]);
});

test("a region that is well written and unknown to Fly is refused by Fly, and nothing is left", async () => {
  const on = await open();
  const text = templateText.replace('region = "ord"', 'region = "zzz"');
  const result = await on.admin("tenant", "create", "acme", "--template", on.write("z.toml", text));
  expect([result.exitCode === 0, result.out]).toEqual([false, ""]);
  expect(result.err).toContain("zzz");
  expect([await on.machines(), await on.volumes()]).toEqual([[], []]);
});
