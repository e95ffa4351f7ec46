import { afterEach, describe, expect, test } from "bun:test";
import { type AdminStage, app, openAdminStage, templateText } from "./stage.ts";

let stage: AdminStage | undefined;
const open = async (...given: Parameters<typeof openAdminStage>): Promise<AdminStage> => {
  stage = await openAdminStage(...given);
  return stage;
};
afterEach(async () => {
  await stage?.close();
  stage = undefined;
}, 120_000);

const apply = async (on: AdminStage, file: string, ...words: readonly string[]) =>
  on.admin("tenant", "apply", "acme", "-f", file, ...words);
const diff = async (on: AdminStage, file: string, ...words: readonly string[]) =>
  on.admin("tenant", "diff", "acme", "-f", file, ...words);
/** Everything that could change something. */
const changing = (on: AdminStage): number =>
  on.proxy.calls.filter((call) => !call.startsWith("GET")).length;
const withEnv = (line: string): string => `${templateText}${line}\n`;

test("a tenant that is not there is made; the same file again makes no changing call", async () => {
  const on = await open();
  const planned = await apply(on, on.template, "--dry-run");
  expect([planned.exitCode, planned.out.includes("<auto:tvol_acme_1@ord>")]).toEqual([0, true]);
  const missing = await diff(on, on.template);
  expect([missing.exitCode, changing(on)]).toEqual([3, 0]);
  const made = await apply(on, on.template);
  expect([made.exitCode, made.out.includes("[vault.acme]")]).toEqual([0, true]);
  const calls = changing(on);
  const again = await apply(on, on.template);
  expect(again).toEqual({ exitCode: 0, out: "", err: "tenant acme is as the template wants it\n" });
  const same = await diff(on, on.template);
  expect([same.exitCode, same.out]).toEqual([0, ""]);
  expect(changing(on)).toBe(calls);
});

test("a machine that claims to be of the tenant, with a token of its own, keeps all from being changed", async () => {
  const on = await open();
  await apply(on, on.template);
  await on.admin("tenant", "create", "evil", "--template", on.template);
  const machines = await on.machines();
  const evil = machines.find(({ config }) => config.metadata["fly_vault.tenant_id"] === "evil");
  const claim = { "fly_vault.tenant_id": "acme", "fly_vault.launch_id": `${"0".repeat(16)}-9` };
  const answer = await fetch(`${on.fly.apiBase}/v1/apps/${app}/machines/${evil?.id}/metadata`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${on.fly.apiToken}` },
    body: JSON.stringify({ metadata: claim }),
  });
  expect(answer.ok).toBe(true);
  const calls = changing(on);
  const file = on.write("t.toml", withEnv('LEVEL = "debug"').replace("count = 1", "count = 2"));
  const refused = await apply(on, file);
  expect([refused.exitCode, refused.out, changing(on)]).toEqual([7, "", calls]);
  expect(refused.err).toContain("FV-ADM-013");
  expect(refused.err).toContain(evil?.id ?? "none");
  // Looking is free.
  expect((await diff(on, file)).out).toContain(`machine ${evil?.id} is not in the template`);
});

test("what differs is shown with secrets masked, done under a lease, and keeps token and volume", async () => {
  const on = await open();
  await apply(
    on,
    on.write("t.toml", withEnv('LEVEL = "info"\nOLD = "1"\nDB_PASSWORD = "{{pw}}"')),
    "--var",
    "pw=first-secret",
  );
  const [before] = await on.machines();
  const file = on.write("t.toml", withEnv('LEVEL = "debug"\nNEW = "2"\nDB_PASSWORD = "{{pw}}"'));
  const words = ["--var", "pw=second-secret"];
  const shown = await diff(on, file, ...words);
  expect(shown.exitCode).toBe(1);
  expect(shown.out).toBe(
    `machine ${before?.id} (tenant-acme-1, started)
  ~ env.LEVEL: "info" -> "debug"
  + env.NEW: "2"
  ~ env.DB_PASSWORD: "***" -> "***"
  - env.OLD: "1"
`,
  );
  const { data } = JSON.parse((await diff(on, file, ...words, "--json")).out);
  expect(data[0]).toMatchObject({ machine_id: before?.id ?? "", finished: true });
  expect(data[0].differences[3]).toEqual({ key: "env.OLD", from: "1", to: null, obstacle: null });
  const calls = changing(on);
  const dry = await apply(on, file, ...words, "--dry-run");
  expect([dry.out, changing(on)]).toEqual([shown.out, calls]);
  const done = await apply(on, file, ...words);
  expect([done.exitCode, done.out]).toEqual([0, ""]);
  expect(done.err).toContain(`machine ${before?.id} is changed, and was restarted`);
  expect(shown.out + dry.err + done.err).not.toContain("secret");
  const [after] = await on.machines();
  expect(after).toMatchObject({ id: before?.id ?? "", state: "started" });
  const { OLD: _, ...kept } = before?.config.env ?? {};
  expect(after?.config.env).toEqual({
    ...kept,
    LEVEL: "debug",
    NEW: "2",
    DB_PASSWORD: "second-secret",
  });
  expect(after?.config.metadata["fly_vault.launch_id"]).toBe(
    before?.config.metadata["fly_vault.launch_id"],
  );
  expect((await on.volumes()).length).toBe(1);
  expect(on.proxy.calls.slice(-12)).toContain("POST /machines/*/lease");
  expect(on.proxy.calls.at(-1)).toBe("DELETE /machines/*/lease");
  expect((await diff(on, file, ...words)).exitCode).toBe(0);
});

test("a machine that does not run stays so; new metadata restarts nothing", async () => {
  const on = await open();
  const idle = templateText.replace("[machine]", "[machine]\nskip_launch = true");
  await apply(on, on.write("t.toml", idle));
  const changed = await apply(on, on.write("t.toml", `${idle}LEVEL = "debug"\n`));
  expect(changed.err).toContain("is changed, and created as before");
  expect((await on.machines())[0]?.state).toBe("created");
  const [machine] = await on.machines();
  const noted = `${idle}LEVEL = "debug"\n[metadata]\nrole = "tenant-vm"\n`;
  const words = await apply(on, on.write("t.toml", noted));
  expect(words.err).toContain('+ metadata.role: "tenant-vm"');
  expect(words.err).toContain("has new metadata, and was not restarted");
  const [after] = await on.machines();
  expect(after).toMatchObject({ instance_id: Object(machine).instance_id });
  expect(after?.config.metadata["role"]).toBe("tenant-vm");
});

test("what the template says no more is taken away; what Fly filled in is not a difference", async () => {
  const on = await open();
  const more = `${templateText}[machine.config.guest]\ncpu_kind = "shared"\ncpus = 1\nmemory_mb = 256\n`;
  await apply(on, on.write("t.toml", `${more}[machine.config.stop_config]\nsignal = "SIGINT"\n`));
  const shown = await diff(on, on.write("t.toml", more.replace("cpus = 1\n", "")));
  expect(shown.out).toContain("  - stop_config: ");
  expect(shown.out).toContain("  - guest.cpus: 1\n");
});

describe("what no update can change", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'name = "tenant-{{tenant_id}}-{{index}}"',
      'name = "other-{{index}}"',
      '! name: "tenant-acme-1" -> "other-1"',
    ],
    ['region = "ord"', 'region = "cdg"', '! region: "ord" -> "cdg"  (an update cannot change it)'],
    ["tvol_{{tenant_id}}_{{index}}", "data", '! mounts.0.name: "tvol_acme_1" -> "data"'],
    [
      "size_gb = 1",
      "size_gb = 9",
      "! mounts.0.size_gb: 1 -> 9  (an update cannot grow it; fly volume extend vol_",
    ],
    ['name = "tvol_{{tenant_id}}_{{index}}"\nsize_gb = 1', 'volume = "vol_1"', '-> "vol_1"'],
    [/\[\[machine.config.mounts\]\][^[]*/.exec(templateText)?.[0] ?? "", "", "! mounts: "],
  ];
  test("is said, and then nothing is changed at all", async () => {
    const on = await open();
    await apply(on, on.template);
    const calls = changing(on);
    for (const [from, to, words] of cases) {
      const file = on.write("t.toml", `${templateText.replace(from, to)}LEVEL = "debug"\n`);
      const shown = await diff(on, file);
      expect([shown.exitCode, shown.out.includes("! ")]).toEqual([1, true]);
      const refused = await apply(on, file);
      expect([from, refused.exitCode, refused.out]).toEqual([from, 7, ""]);
      expect(refused.err).toContain(words);
      expect(refused.err).toContain("FV-ADM-011");
    }
    expect(changing(on)).toBe(calls);
  });
});

test("more machines are made, with the tenant's token and their own volumes; fewer are left alone", async () => {
  const on = await open();
  await apply(on, on.template);
  const two = on.write("two.toml", templateText.replace("machine_count = 1", "machine_count = 2"));
  expect((await diff(on, two)).out).toBe("machine 2 of the template is missing\n");
  const more = await apply(on, two);
  expect([more.exitCode, more.out.startsWith("[vault.acme-2]")]).toEqual([0, true]);
  const machines = await on.machines();
  expect(new Set(machines.map(({ config }) => config.env["ACCESS_TOKEN"])).size).toBe(1);
  expect((await on.volumes()).length).toBe(2);
  const calls = changing(on);
  expect((await apply(on, two)).err).toBe("tenant acme is as the template wants it\n");
  const fewer = await apply(on, on.template);
  expect([fewer.exitCode, fewer.err.includes("is not in the template; it stays")]).toEqual([
    0,
    true,
  ]);
  expect(changing(on)).toBe(calls);
});

test("a token is kept wherever the template moves it, and replaced only when one is given", async () => {
  const on = await open();
  await apply(on, on.template);
  const [before] = await on.machines();
  const token = before?.config.env["ACCESS_TOKEN"] ?? "";
  const moved = on.write(
    "t.toml",
    templateText.replace("ACCESS_TOKEN =", 'ALSO = "x-{{access_token}}"\nACCESS_TOKEN ='),
  );
  expect((await apply(on, moved)).exitCode).toBe(0);
  expect((await on.machines())[0]?.config.env).toMatchObject({
    ALSO: `x-${token}`,
    ACCESS_TOKEN: token,
  });
  const without = on.write(
    "t.toml",
    templateText.replace('ACCESS_TOKEN = "{{access_token}}"', 'LEVEL = "1"'),
  );
  const applied = await apply(on, without);
  expect(applied.err).not.toContain(token);
  expect((await on.machines())[0]?.config.env).toMatchObject({ LEVEL: "1", ACCESS_TOKEN: token });
  const file = on.write("token", "given-by-hand\n");
  const given = await apply(on, on.template, "--access-token-file", file);
  expect(given.err).toContain('~ env.ACCESS_TOKEN: "***" -> "***"');
  expect((await on.machines())[0]?.config.env["ACCESS_TOKEN"]).toBe("given-by-hand");
});

test("an update names the version it was made for, so that it never undoes somebody's change", async () => {
  const bodies: string[] = [];
  const strike = (body: string): void => void bodies.push(body);
  const on = await open([{ on: "POST /machines/*", nth: 1, fault: "done-but-500", strike }]);
  await apply(on, on.template);
  const [before] = await on.machines();
  await apply(on, on.write("t.toml", withEnv('LEVEL = "debug"')));
  const sent = JSON.parse(bodies[0] ?? "");
  expect(sent.current_version).toBe(Object(before).instance_id);
  expect(Object.keys(sent)).toEqual(["config", "current_version"]);
});

describe("an update whose outcome nobody knows", () => {
  for (const fault of ["done-but-500", "not-done-500", "answer-lost", "409"] as const)
    test(`${fault}: looks, and ends right`, async () => {
      const on = await open([{ on: "POST /machines/*", nth: 1, fault }]);
      await apply(on, on.template);
      const file = on.write("t.toml", withEnv('LEVEL = "debug"'));
      expect((await apply(on, file)).exitCode).toBe(0);
      expect((await on.machines())[0]?.config.env["LEVEL"]).toBe("debug");
      expect((await diff(on, file)).exitCode).toBe(0);
    });

  test("a second machine that cannot be changed: says what is done, and goes on when run again", async () => {
    const on = await open([{ on: "POST /machines/*/lease", nth: 2, fault: "409" }]);
    const two = templateText.replace("machine_count = 1", "machine_count = 2");
    await apply(on, on.write("t.toml", two));
    const file = on.write("t.toml", `${two}LEVEL = "debug"\n`);
    const part = await apply(on, file);
    expect([part.exitCode, part.err.includes("done: ")]).toEqual([8, true]);
    expect((await apply(on, file)).exitCode).toBe(0);
    expect((await on.machines()).map(({ config }) => config.env["LEVEL"])).toEqual([
      "debug",
      "debug",
    ]);
  });
});

test("a change after which the machine does not stay started is exit 1, and says how it ended", async () => {
  const on = await open([], {
    entrypoint: ["/bin/sh", "-c", '[ "$LEVEL" = bad ] && exit 3; exec sleep 60'],
  });
  const calm = `${templateText}[machine.config.restart]\npolicy = "no"\n`;
  await apply(on, on.write("t.toml", calm));
  const bad = calm.replace("ACCESS_TOKEN", 'LEVEL = "bad"\nACCESS_TOKEN');
  const ended = await apply(on, on.write("t.toml", bad), "--stay-secs", "20");
  expect([ended.exitCode, ended.err.includes("FV-ADM-010")]).toEqual([1, true]);
  expect(ended.err).toContain("exit code 3");
  expect(on.proxy.calls.at(-1)).toBe("DELETE /machines/*/lease");
});

test("a token that is changed while the template is applied is not put back", async () => {
  const on = await open();
  await apply(on, on.template);
  const rotated: number[] = [];
  const strike = async (): Promise<void> => {
    rotated.push((await on.admin("tenant", "rotate-token", "acme")).exitCode);
  };
  on.rules.push({ on: "POST /machines/*/lease", nth: 1, fault: "none", strike });
  const [before] = await on.machines();
  const result = await apply(on, on.write("t.toml", withEnv('LEVEL = "debug"')));
  const [after] = await on.machines();
  expect([result.exitCode, rotated, after?.config.env["LEVEL"]]).toEqual([0, [0], "debug"]);
  const token = after?.config.env["ACCESS_TOKEN"] ?? "";
  expect([token.startsWith("fvt1_"), token === before?.config.env["ACCESS_TOKEN"]]).toEqual([
    true,
    false,
  ]);
});

test("a machine made beside those that the template has no more gets their token", async () => {
  const on = await open();
  await apply(
    on,
    on.write("two.toml", templateText.replace("machine_count = 1", "machine_count = 2")),
  );
  const [one, two] = (await on.machines()).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  await fetch(`${on.fly.apiBase}/v1/apps/vault-tenants/machines/${one?.id}?force=true`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${on.fly.apiToken}` },
  });
  const made = await apply(on, on.template, "--new-volumes");
  expect([made.exitCode, made.err]).toEqual([0, expect.stringContaining("made machine")]);
  const machines = await on.machines();
  const tokens = machines
    .filter(({ state }) => state === "started")
    .map(({ config }) => config.env["ACCESS_TOKEN"]);
  const token = two?.config.env["ACCESS_TOKEN"] ?? "";
  expect([token.startsWith("fvt1_"), tokens]).toEqual([true, [token, token]]);
  expect(made.out).toContain(token);
});

const secretive = (greeting: string, header: string): string =>
  `${withEnv(`GREETING = "${greeting} {{access_token}}"\nLINE = "user:{{db_pass}}:${greeting}"`)}
[[machine.config.services]]
internal_port = 80
protocol = "tcp"
[[machine.config.services.checks]]
type = "http"
headers = [{ name = "Authorization", values = ["${header}"] }]
`;

test("no output has a token, a secret variable or a header of a check, old or new", async () => {
  const on = await open();
  const words = (nth: string) => [
    "--var",
    `db_pass=${nth}-hidden-pass`,
    "--access-token-file",
    on.write(nth, `${nth}-hidden-token`),
  ];
  const first = on.write("a.toml", secretive("hello", "Basic first-hidden"));
  expect((await apply(on, first, ...words("first"))).exitCode).toBe(0);
  const second = on.write("b.toml", secretive("hi", "Basic second-hidden"));
  const shown = [
    await diff(on, second, ...words("second")),
    await diff(on, second, ...words("second"), "--json"),
    await apply(on, second, ...words("second"), "--dry-run"),
    await on.admin("tenant", "create", "zeta", "-f", second, "--dry-run", ...words("second")),
    await on.admin("tenant", "create", "acme", "-f", second, ...words("second")),
    await on.admin("tenant", "list", "--json"),
    await apply(on, second, ...words("second")),
  ].map(({ out, err }) => out + err);
  expect(shown[0]).toContain('~ env.GREETING: "***" -> "hi ***"');
  expect(shown[0]).toContain("headers.0.values.0: ");
  expect(shown.slice(0, 5).join("")).not.toContain("hidden");
  expect(shown[5]).not.toContain("Basic");
  expect(shown[6]).not.toContain("hidden");
});
