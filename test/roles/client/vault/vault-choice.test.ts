import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { say, type Said } from "./vault-stage.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-choice-"));
  mkdirSync(join(folder, "work/deep"), { recursive: true });
  configure("a", "b");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function configure(...names: string[]): void {
  const tables = names.map(
    (name) => `[vault.${name}]\naddress = "h:1"\norg = "o"\napp = "p"\nforward = ["1"]\n`,
  );
  writeFileSync(join(folder, "config.toml"), tables.join("\n"), { mode: 0o600 });
}

function project(text: string, at = "work"): string {
  const path = join(folder, at, ".fly-vault.toml");
  writeFileSync(path, text);
  return path;
}

async function show(
  words: readonly string[] = [],
  options: {
    readonly env?: Record<string, string>;
    readonly tty?: boolean;
    readonly cwd?: string;
  } = {},
): Promise<Said> {
  const env = { FLY_VAULT_CONFIG: join(folder, "config.toml"), HOME: folder };
  const { cwd = join(folder, "work/deep") } = options;
  return say({ env, folder }, ["vault", "show", ...words], { ...options, cwd });
}

function shown(said: Said): object {
  return JSON.parse(said.out).data;
}

function deep(levels: number): string {
  return join(folder, "work", ...Array<string>(levels).fill("d"));
}

test.each([
  [["logs", "a"]],
  [["kill", "b"]],
  [["wait", "a"]],
  [["attach", "a"]],
  [["session", "rename", "a", "new"]],
])("a vault alone where a session is wanted as well is taken for one: %p", async (words) => {
  const env = { FLY_VAULT_CONFIG: join(folder, "config.toml"), HOME: folder };
  const said = await say({ env, folder }, words, { cwd: folder });
  const vault = words.find((word) => word.length === 1);
  expect(said.err).toContain(`error: "${vault}" is the vault, and the word behind it is missing\n`);
  expect(said.code).toBe(2);
});

test("word, environment, project, default, the only one: in this order", async () => {
  const env = { FLY_VAULT_VAULT: "b" };
  expect((await show()).err).toContain(
    "VAULT is missing (one of a, b; or: fly-vault vault use VAULT)",
  );
  await say({ env: { FLY_VAULT_CONFIG: join(folder, "config.toml") }, folder }, [
    "vault",
    "use",
    "a",
  ]);
  expect((await show()).out).toMatch(/^a /);
  project('vault = "b"\n');
  expect((await show()).out).toMatch(/^b /);
  expect((await show([], { cwd: folder })).out).toMatch(/^a /);
  project('vault = "a"\n');
  expect((await show([], { env })).out).toMatch(/^b /);
  expect((await show(["a"], { env })).out).toMatch(/^a /);
  rmSync(join(folder, "work/.fly-vault.toml"));
  configure("only");
  expect((await show()).out).toMatch(/^only /);
  configure();
  expect((await show()).err).toContain("fly-vault add");
});

test("a choice is told in one dim line, on a terminal alone, not with -q or --json", async () => {
  project('vault = "b"\n');
  const dim = "\u001b[2mvault b (from ../.fly-vault.toml)\u001b[22m\n";
  expect((await show([], { tty: true })).err).toBe(dim);
  expect((await show([], { tty: true, env: { NO_COLOR: "1" } })).err).toBe(
    "vault b (from ../.fly-vault.toml)\n",
  );
  expect((await show([], { tty: true, cwd: join(folder, "work") })).err).toContain("(from ./.fly");
  expect((await show()).err).toBe("");
  expect((await show(["-q"], { tty: true })).err).toBe("");
  expect((await show(["--json"], { tty: true })).err).toBe("");
  expect((await show(["b"], { tty: true })).err).toBe("");
});

test("a name that is not there says where it came from", async () => {
  project('vault = "bb"\n');
  const { code, err } = await show();
  expect(code).toBe(3);
  expect(err).toContain("the name is from ../.fly-vault.toml");
});

test("forwards and variables of the project are those of its vault", async () => {
  project('forward = ["3000", "4000"]\n[env]\nA = "b"\n');
  expect(shown(await show(["a", "--json"]))).toMatchObject({
    forward: ["3000", "4000"],
    env: { A: "b" },
  });
  project('vault = "b"\nforward = ["3000"]\n');
  expect(shown(await show(["a", "--json"]))).toMatchObject({ forward: ["1"] });
  expect(shown(await show(["--json"]))).toMatchObject({ name: "b", forward: ["3000"] });
});

for (const [key, text] of [
  ["address", 'vault = "a"\naddress = "evil:1"\n'],
  ["token", 'vault = "a"\ntoken = { command = ["x"] }\n'],
  ["access_token", 'vault = "a"\naccess_token = "x"\n'],
  ["attest", "# c\nattest = { }\n"],
  ["issuer", '\nissuer = "https://x"\n'],
  ["command", '\ncommand = "x"\n'],
  ["default_vault", '\ndefault_vault = "x"\n'],
] as const)
  test(`a project file must not hold ${key}`, async () => {
    project(text);
    const { code, err } = await show(["a"]);
    expect(code).toBe(2);
    expect(err).toContain(`.fly-vault.toml:2: "${key}" has no place in a project file`);
    expect(err).toContain("FV-CFG-010");
  });

test("a [vault.x] table in a project file, a bad forward or variable are refused with their line", async () => {
  for (const [text, line] of [
    ['[vault.x]\naddress = "h:1"\n', 1],
    ['vault = "a"\nforward = ["x:y"]\n', 2],
    ['[env]\nA = "1"\nB = 2\n', 3],
  ] as const) {
    project(text);
    const { code, err } = await show(["a"]);
    expect(code).toBe(2);
    expect(err).toContain(`.fly-vault.toml:${line}:`);
  }
});

test("one that everybody can write, or of somebody else, decides nothing", async () => {
  const path = project('vault = "b"\n');
  configure("a");
  chmodSync(path, 0o666);
  expect((await show(["--json"])).out).toContain('"name":"a"');
  chmodSync(path, 0o644);
  if (process.getuid?.() === 0) {
    chownSync(path, 12_345, 12_345);
    expect((await show(["--json"])).out).toContain('"name":"a"');
  }
});

test("it is looked for in so many folders above, and no further", async () => {
  project('vault = "b"\n');
  expect((await show([], { cwd: deep(63) })).out).toMatch(/^b /);
  expect((await show([], { cwd: deep(64) })).code).toBe(2);
});
