import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { encodeInvite } from "../../../../src/fly/invite.ts";
import { generateToken } from "../../../../src/fly/token.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { secretTraces } from "../../../support/secret-traces.ts";
import { config, say, writeConfig } from "./vault-stage.ts";

let vault: TestVault;
let client: PtyClient | undefined;
const token = generateToken(new Uint8Array(32).fill(7));
const home = '# mine\n[vault.home]\naddress = "h:1"\norg = "o"\napp = "a" # there\n';

beforeAll(async () => {
  vault = await TestVault.open();
  vault.token = token;
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  await writeConfig(vault, home);
});
afterEach(async () => {
  client?.close();
  client = undefined;
  vault.token = token;
  await chmod(vault.folder, 0o700);
  for (const name of await readdir(vault.folder))
    if (name !== "cache") await rm(join(vault.folder, name), { recursive: true });
});

function flags(): string[] {
  return [
    "--address",
    vault.address,
    "--org",
    "acme",
    "--app",
    "dev-vaults",
    "--issuer",
    vault.issuer.url("acme"),
  ];
}

function invite(more: object = {}): string {
  const machine_id = "148e21ea7e46e8";
  const where = { address: vault.address, issuer: vault.issuer.url("acme"), machine_id };
  return encodeInvite({
    name: "dev",
    org: "acme",
    app: "dev-vaults",
    access_token: token,
    ...where,
    ...more,
  });
}

async function files(): Promise<string[]> {
  return (await readdir(vault.folder))
    .filter((name) => !["cache", "state"].includes(name))
    .toSorted();
}

function start(argv: readonly string[]): PtyClient {
  client = new PtyClient(argv, { ...vault.env, LANG: "C.UTF-8" });
  return client;
}

test("on a terminal: questions, each answer tried, secrets not shown, and the vault is there", async () => {
  const terminal = start(["add", "--issuer", vault.issuer.url("acme")]);
  await terminal.shows(/address .*: $/);
  terminal.type("nonsense\n");
  await terminal.shows(/it must be "host:port"[^]*address .*: $/);
  terminal.type(`${vault.address}\n`);
  await terminal.shows(/admission key.*: $/);
  expect(terminal.raw).toBeTrue();
  terminal.type("\r");
  await terminal.shows(/✓ proxy answers in \d+ ms\r\norganisation on Fly: $/);
  expect(terminal.raw).toBeFalse();
  terminal.type("acme\n");
  await terminal.shows(/app on Fly: $/);
  terminal.type("dev-vaults\n");
  await terminal.shows(
    /✓ attested: app dev-vaults, machine 148e21ea7e46e8 in ord\r\n.*\[dev-vaults\]: $/,
  );
  terminal.type("home\n");
  await terminal.shows(/taken by another vault[^]*\[dev-vaults\]: $/);
  terminal.type("\n");
  await terminal.shows(/access token .*: $/);
  terminal.type(`wrong\u0015${token.slice(0, -1)}\r`);
  await terminal.shows(/mistyped or cut short[^]*access token .*: $/);
  terminal.type(`${token}x\u007f\r`);
  expect(await terminal.exited()).toBe(0);
  expect(terminal.text).toMatch(
    /✓ token accepted\r\n .*\r\nadded "dev-vaults" to .*\r\ntry: {2}fly-vault connect dev-vaults/,
  );
  expect(terminal.text.match(/✓ proxy answers/g)).toHaveLength(1);
  expect(secretTraces(Buffer.from(terminal.text), token, "dev-vaults")).toEqual([]);
  const text = await config(vault);
  expect(text.startsWith(`${home}\n[vault.dev-vaults]\n`)).toBeTrue();
  expect(text).toContain('token = { file = "dev-vaults.token" }');
  expect(text).not.toContain(token);
  expect((await stat(join(vault.folder, "dev-vaults.token"))).mode & 0o777).toBe(0o600);
  expect((await say(vault, ["verify", "dev-vaults"])).code).toBe(0);
});

for (const keys of ["\u0003", "\u0004"] as const)
  test(`${keys === "\u0003" ? "Ctrl-C" : "Ctrl-D"} at any question ends with 130 and leaves nothing`, async () => {
    const terminal = start(["add", ...flags(), "dev"]);
    await terminal.shows(/access token .*: $/);
    terminal.type(keys);
    expect(await terminal.exited()).toBe(130);
    expect(terminal.raw).toBeFalse();
    terminal.close();
    const other = start(["add"]);
    await other.shows(/address .*: $/);
    other.type(keys);
    expect(await other.exited()).toBe(130);
    expect(await config(vault)).toBe(home);
    expect(await files()).toEqual(["config.toml"]);
  });

test("with flags: no question, the checks in a list, the token from a file", async () => {
  const path = join(vault.folder, "t");
  await writeFile(path, `${token}\n`, { mode: 0o600 });
  const { code, err, out } = await say(vault, ["add", "dev", ...flags(), "--token-file", path]);
  expect({ code, out }).toEqual({ code: 0, out: "" });
  expect(err).toMatch(
    /^✓ proxy .*\n✓ attested: .*\n✓ token accepted\n  it is remembered.*\nadded "dev"/,
  );
  expect(await config(vault)).toContain('[vault.dev]\naddress = "127.0.0.1:');
});

test("without a terminal what is missing is named by its flags", async () => {
  const some = await say(vault, ["add", "dev", "--org", "acme"]);
  expect(some.code).toBe(2);
  expect(some.err).toContain("no terminal to ask on: --address, --app, --token-file are missing");
  const told = await say(vault, ["add", "--no-input"], { tty: true });
  expect(told.err).toContain("--address, --org, --app, --token-file are missing");
  expect((await say(vault, ["add"], { tty: true, env: { CI: "1" } })).code).toBe(2);
});

test("an invite on standard input is all that is needed", async () => {
  const said = await say(vault, ["add", "--from", "-"], { stdin: `${invite()}\n` });
  expect(said.code).toBe(0);
  expect(await config(vault)).toContain('machine_id = "148e21ea7e46e8"');
  expect(secretTraces(Buffer.from(said.err + said.out), token, "dev-vaults")).toEqual([]);
  const again = await say(vault, ["add", "--from", "-"], { stdin: invite() });
  expect(again).toMatchObject({ code: 7, out: "" });
  expect(again.err).toContain("FV-CFG-009");
  expect((await say(vault, ["add", "other", "--from", "-"], { stdin: invite() })).code).toBe(0);
});

test("an invite on a terminal is not shown, one in a file must be private", async () => {
  const terminal = start(["add", "--from", "-", "dev"]);
  await terminal.shows(/invite .*: $/);
  terminal.type(`${invite()}\r`);
  expect(await terminal.exited()).toBe(0);
  expect(terminal.text).not.toContain("fly-vault://");
  const path = join(vault.folder, "i");
  await writeFile(path, invite(), { mode: 0o644 });
  const open = await say(vault, ["add", "two", "--from", path]);
  expect(open.err).toContain("FV-CFG-007");
  await chmod(path, 0o600);
  expect((await say(vault, ["add", "two", "--from", path])).code).toBe(0);
});

test("a damaged invite, or one with a wrong value, is refused without a word of its contents", async () => {
  for (const text of [
    invite().slice(0, -4),
    invite({ app: "Not An App" }),
    invite({ access_token: `${token}x` }),
  ]) {
    const { code, err } = await say(vault, ["add", "--from", "-"], { stdin: text });
    expect(code).toBeGreaterThan(1);
    expect(secretTraces(Buffer.from(err), token, "dev-vaults")).toEqual([]);
  }
  const long = await say(vault, ["add", "--from", "-"], { stdin: "x".repeat(20_000) });
  expect(long.err).toContain("more than 16384 bytes");
  expect(await config(vault)).toBe(home);
});

test("when a check fails nothing is written; --no-check writes all the same", async () => {
  vault.token = "another one";
  const refused = await say(vault, ["add", "dev", ...flags(), "--token-file", "-"], {
    stdin: token,
  });
  expect(refused.code).toBe(4);
  expect(refused.err).toMatch(/^✓ proxy .*\n✓ attested: .*\nerror: /);
  const other = flags().map((word) => (word === "dev-vaults" ? "other-app" : word));
  expect(
    (await say(vault, ["add", "dev", ...other, "--token-file", "-"], { stdin: token })).code,
  ).toBe(5);
  expect(await config(vault)).toBe(home);
  expect(await files()).toEqual(["config.toml"]);
  const unchecked = ["add", "dev", ...other, "--token-file", "-", "--no-check"];
  expect((await say(vault, unchecked, { stdin: token })).code).toBe(0);
  expect(await config(vault)).toContain('app = "other-app"');
});

test("a symbolic link stays one, a new file and folder are private", async () => {
  await rm(vault.configPath);
  await mkdir(join(vault.folder, "dotfiles"));
  await writeFile(join(vault.folder, "dotfiles/c.toml"), home, { mode: 0o600 });
  await symlink("dotfiles/c.toml", vault.configPath);
  await say(vault, ["add", "--from", "-", "--no-check"], { stdin: invite() });
  expect((await lstat(vault.configPath)).isSymbolicLink()).toBeTrue();
  expect(await readFile(join(vault.folder, "dotfiles/c.toml"), "utf8")).toContain("[vault.dev]");
  const fresh = join(vault.folder, "new/config.toml");
  const said = await say(vault, ["add", "--from", "-", "--no-check"], {
    stdin: invite(),
    env: { FLY_VAULT_CONFIG: fresh },
  });
  expect(said.code).toBe(0);
  expect((await stat(fresh)).mode & 0o777).toBe(0o600);
  expect((await stat(join(fresh, ".."))).mode & 0o777).toBe(0o700);
});

test("ten at once: all are there", async () => {
  const added = Array.from({ length: 10 }, async (_, index) =>
    say(vault, ["add", `v${index}`, "--from", "-", "--no-check"], { stdin: invite() }),
  );
  expect((await Promise.all(added)).map(({ code }) => code)).toEqual(Array(10).fill(0));
  expect((await config(vault)).match(/^\[vault\.v\d\]$/gm)).toHaveLength(10);
});

test("where the configuration cannot be changed, no token stays behind", async () => {
  await writeConfig(vault, 'vault = { home = { address = "h:1", org = "o", app = "a" } }\n');
  const said = await say(vault, ["add", "--from", "-", "--no-check"], { stdin: invite() });
  expect(said.code).toBe(7);
  expect(said.err).toContain("FV-CFG-012");
  expect(await files()).toEqual([".fly-vault.lock", "config.toml"]);
});
