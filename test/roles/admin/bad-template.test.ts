import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { type AdminStage, openAdminStage, templateText } from "./stage.ts";

/** Everything wrong that a template can be: exit 2, the place, what is allowed, and nothing sent. */
let at: AdminStage;
beforeAll(async () => {
  at = await openAdminStage();
});
afterAll(async () => at.close(), 60_000);

const create = async (file: string, ...words: readonly string[]) =>
  at.admin("tenant", "create", "acme", "--template", file, ...words);

const refused = async (text: string | Uint8Array, words: string, ...flags: readonly string[]) => {
  const { exitCode, out, err } = await create(at.write("t.toml", text), ...flags);
  const first = err.split("\n").find((line) => line.startsWith("error: ")) ?? "";
  expect([exitCode, out, first.includes(words) ? words : `${first} (not: ${words})`]).toEqual([
    2,
    "",
    words,
  ]);
  expect(at.proxy.calls).toEqual([]);
};

const base = templateText;
const change = (from: string, to: string): string => {
  expect(base).toContain(from);
  return base.replace(from, to);
};
const withConfig = (table: string): string => `${base}${table}\n`;

describe("files", () => {
  test("that are not there, folders, unreadable, in a loop", async () => {
    const missing = await create(join(at.dir, "missing.toml"));
    expect([missing.exitCode, missing.err.includes("there is no such file")]).toEqual([2, true]);
    mkdirSync(join(at.dir, "folder.toml"));
    expect((await create(join(at.dir, "folder.toml"))).err).toContain("it is a directory");
    symlinkSync(join(at.dir, "loop.toml"), join(at.dir, "loop.toml"));
    expect((await create(join(at.dir, "loop.toml"))).exitCode).toBe(2);
    const secret = at.write("secret.toml", base);
    chmodSync(secret, 0o000);
    // Root may read everything.
    if (process.getuid?.() !== 0)
      expect((await create(secret)).err).toContain("you may not read it");
    rmSync(secret);
  });

  test("empty, not UTF-8, too long, JSON, YAML, nested too deep, cut short", async () => {
    await refused("", "t.toml: version: the key is missing");
    await refused(Uint8Array.of(0x61, 0xff), 't.toml" cannot be read');
    await refused(`# ${"x".repeat(1 << 20)}`, "is too long");
    expect((await create("/dev/zero")).err).toContain('the template "/dev/zero" is too long');
    await refused('{"version": 1}', "t.toml:1:");
    await refused("version: 1\napp: x\n", "t.toml:1:");
    await refused(`a = ${"[".repeat(100_000)}`, "t.toml:1:");
    await refused(`${"a.".repeat(60_000)}a = 1`, "is nested deeper than 32");
    await refused(base.slice(0, base.indexOf('"{{access') + 4), "t.toml:18:");
    await refused(change("version = 1", "version = 1\nversion = 1"), "t.toml:2:");
    await refused(withConfig("[machine]\n"), "t.toml:19:");
  });

  test("with a byte order mark and carriage returns are no mistake", async () => {
    const file = at.write("t.toml", `\uFEFF${base.replaceAll("\n", "\r\n")}`);
    expect((await create(file, "--dry-run")).exitCode).toBe(0);
  });
});

test("keys that are unknown, with what was probably meant", async () => {
  await refused(
    change("version = 1", "verison = 1"),
    "t.toml:1: verison: unknown key (did you mean version?)",
  );
  await refused(
    change("region =", "regoin ="),
    "t.toml:7: machine.regoin: unknown key (did you mean region?)",
  );
  await refused(
    withConfig("[machine.config.gest]\ncpus = 1"),
    "t.toml:19: machine.config.gest: unknown key (did you mean guest?)",
  );
  await refused(
    withConfig("[machine.config.guest]\nmemory_bm = 256"),
    "t.toml:20: machine.config.guest.memory_bm: unknown key (did you mean memory_mb?)",
  );
  await refused(
    withConfig("[[machine.config.services]]\ninternal_prt = 1"),
    "(did you mean internal_port?)",
  );
  await refused(
    change("size_gb = 1", "size_bg = 1"),
    "t.toml:15: machine.config.mounts.0.size_bg: unknown key (did you mean size_gb?)",
  );
  await refused(
    withConfig('__proto__ = "1"'),
    "t.toml:19: machine.config.env.__proto__: no key can have this name",
  );
});

test("what only looks odd is warned about, with its line", async () => {
  const text = `${change("{{access_token}}", "fixed-secret")}
[[machine.config.services]]
auto_stop_machines = true
`;
  const { exitCode, err } = await create(at.write("t.toml", text), "--dry-run");
  expect(exitCode).toBe(0);
  expect(err).toContain(
    "t.toml:21: machine.config.services.0.auto_stop_machines: Fly's description does not know this key",
  );
  expect(err).toContain(
    "t.toml:18: machine.config.env.ACCESS_TOKEN: looks like a secret in plain text",
  );
  expect(err).toContain("does not use {{access_token}}");
  expect(err).not.toContain("fixed-secret");
  const bare = base.replace(/\[\[machine.config.mounts\]\][^[]*/, "");
  const lost = await create(at.write("t.toml", bare), "--dry-run");
  expect(lost.err).toContain("machine.config: there is no mount");
});

test("numbers", async () => {
  for (const bad of [
    "-1",
    "0",
    "1e9",
    "nan",
    "inf",
    '"10"',
    "1.5",
    "101",
    "true",
    "9007199254740993",
  ])
    await refused(change("machine_count = 1", `machine_count = ${bad}`), "t.toml:3:");
  for (const bad of ["-1", "0", "nan", '"10"', "1.5"])
    await refused(
      change("size_gb = 1", `size_gb = ${bad}`),
      "t.toml:15: machine.config.mounts.0.size_gb",
    );
  const hex = at.write("t.toml", change("machine_count = 1", "machine_count = 0x10"));
  expect(JSON.parse((await create(hex, "--dry-run")).out).length).toBe(16);
});

test("values that Fly would refuse, or take and not mean", async () => {
  const cases: readonly (readonly [string, string])[] = [
    [
      change('image = "registry.fly.io/vault-tenants/init:latest"\n', ""),
      "machine.config.image: the key is missing",
    ],
    [
      change("registry.fly.io/vault-tenants/init:latest", ""),
      "t.toml:10: machine.config.image: must name an image",
    ],
    [withConfig("PORT = 8443"), "t.toml:19: machine.config.env.PORT: must be a text"],
    [
      withConfig("[machine.config.guest]\nmemory_mb = 128"),
      "t.toml:20: machine.config.guest.memory_mb: must be a whole number of MB, from 256",
    ],
    [
      withConfig('[machine.config.guest]\ncpu_kind = "fast"'),
      "cpu_kind: must be one of shared, performance",
    ],
    [
      withConfig("[machine.config.guest]\ncpus = 0"),
      "cpus: must be a whole number of CPUs, from 1",
    ],
    [
      withConfig("[[machine.config.services]]\ninternal_port = 0"),
      "t.toml:20: machine.config.services.0.internal_port: must be a port",
    ],
    [
      withConfig("[[machine.config.services]]\n[[machine.config.services.ports]]\nport = 65536"),
      "services.0.ports.0.port: must be a port",
    ],
    [withConfig('[[machine.config.services]]\nprotocol = "sctp"'), "must be one of tcp, udp"],
    [withConfig('[machine.config.restart]\npolicy = "sometimes"'), "must be one of no, always"],
    [change('region = "ord"', 'region = "chicago"'), "t.toml:7: machine.region: is no region"],
    [change('region = "ord"', 'region = "ORD"'), "is no region"],
    [change('app = "vault-tenants"', 'app = "Bad_App"'), "t.toml:2: app: is no app name"],
    [change('app = "vault-tenants"', `app = "${"a".repeat(63)}"`), "is no app name"],
    [change('app = "vault-tenants"\n', ""), "t.toml: app: the key is missing"],
    [withConfig('[[machine.config.mounts]]\npath = "/more"\nname = "more"'), "one volume only"],
    [change('path = "/data"', 'path = "/data"\npath = "/data"'), "t.toml:14:"],
    [change('path = "/data"\n', ""), "path is missing"],
    [change('name = "tenant-{{tenant_id}}-{{index}}"', 'name = "a b"'), "t.toml:6: machine.name"],
  ];
  for (const [text, words] of cases) await refused(text, words);
});

test("an image without a digest, where one is asked for", async () => {
  const words = "t.toml:10: machine.config.image: names no digest";
  await refused(base, words, "--require-digest");
  const short = change("init:latest", `init@sha256:${"a".repeat(63)}`);
  await refused(short, words, "--require-digest");
  const pinned = change("init:latest", `init@sha256:${"a".repeat(64)}`);
  const dry = await create(at.write("t.toml", pinned), "--dry-run", "--require-digest");
  expect(dry.exitCode).toBe(0);
});

test("placeholders and --var", async () => {
  await refused(
    change("{{access_token}}", "{{acces_token}}"),
    "t.toml:18: machine.config.env.ACCESS_TOKEN: {{acces_token}} has no value (did you mean access_token?)",
  );
  await refused(change("{{access_token}}", "{{access_token"), '"{{" without "}}"');
  await refused(change("{{access_token}}", "{{}}"), "{{}} has no value");
  await refused(base, "--var unused is not used by", "--var", "unused=1");
  await refused(
    change("ord", "{{where}}"),
    "t.toml:7: machine.region: is no region",
    "--var",
    "where=x\ny",
  );
  await refused(
    change("tvol_{{tenant_id}}", "tvol_{{v}}"),
    "t.toml:14: machine.config.mounts.0.name",
    "--var",
    "v=${HOME}",
  );
  for (const bad of ["x", "=x", "", "a b=1", "__proto__ =1"])
    await refused(base, "--var", "--var", bad);
  await refused(base, "said twice", "--var", "a=1", "--var", "a=2");
  // What a value brings along is data: neither another placeholder nor the end of a string.
  const text = change("{{access_token}}", "{{v}}");
  const { out } = await create(
    at.write("t.toml", text.replace("ACCESS_TOKEN", "NOTE")),
    "--dry-run",
    "--var",
    'v={{tenant_id}}"\n${x}',
  );
  expect(JSON.parse(out)[0].config.env.NOTE).toBe('{{tenant_id}}"\n${x}');
});

test("tenants, tokens, and waiting for what is not started", async () => {
  const tenants = ["", "a".repeat(65), "Acme", "-acme", "..", "a/b", "a b", "😀", "a\u202Eb", "_a"];
  for (const tenant of tenants) {
    const { exitCode } = await at.admin(
      "tenant",
      "create",
      "--template",
      at.template,
      "--",
      tenant,
    );
    expect([tenant, exitCode]).toEqual([tenant, 2]);
  }
  for (const token of ["", "has space", "tab\tin", "fvt1_short", `fvt1_${"A".repeat(43)}_wrong1`]) {
    const file = at.write("token", `${token}\n`);
    const { exitCode, err } = await create(at.template, "--access-token-file", file);
    expect([token, exitCode]).toEqual([token, 2]);
    if (token !== "") expect(err).not.toContain(token);
  }
  for (const weak of ["changeme", "12345678"]) {
    const dry = await create(
      at.template,
      "--dry-run",
      "--access-token-file",
      at.write("token", weak),
    );
    expect([dry.exitCode, dry.err.includes("may be guessed")]).toEqual([0, true]);
  }
  const idle = change("[machine]", "[machine]\nskip_launch = true");
  await refused(
    idle,
    "t.toml:6: machine.skip_launch: is true, so there is no start to wait for",
    "--wait-timeout-secs",
    "60",
  );
  await refused(base, "--stay-secs takes whole seconds", "--stay-secs", "1m");
  expect(at.proxy.calls).toEqual([]);
});
