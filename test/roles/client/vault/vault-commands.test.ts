import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addTable } from "../../../../src/cli/toml-edit.ts";
import { generateToken } from "../../../../src/fly/token.ts";
import { editConfig } from "../../../../src/roles/client/vault/config-edit.ts";
import { readAccessToken } from "../../../../src/roles/client/vault/access-token.ts";
import { keychainAccount } from "../../../../src/roles/client/vault/keychain-account.ts";
import { dropToken, storeToken } from "../../../../src/roles/client/vault/token-store.ts";
import { loadVault } from "../../../../src/roles/client/vault/vault-config.ts";
import { type Keychain, KeychainError } from "../../../../src/system/keychain.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { rejection } from "../../../support/rejection.ts";
import { say, type Said } from "./vault-stage.ts";

let folder: string;
let path: string;
const token = generateToken(new Uint8Array(32).fill(9));
const admission = `fva1_1_148e21ea7e46e8_${Buffer.alloc(48, 7).toString("base64url")}`;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-vaults-"));
  path = join(folder, "config.toml");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const home = '# mine\n[vault.home]\naddress = "h:1"\norg = "o"\napp = "a" # there\n';

function write(text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
}
const read = (): string => readFileSync(path, "utf8");
const env = (): Record<string, string> => ({
  FLY_VAULT_CONFIG: path,
  FLY_VAULT_HOME: folder,
  HOME: folder,
});

async function run(words: string, options: Parameters<typeof say>[2] = {}): Promise<Said> {
  return say({ env: env(), folder }, words.split(" "), options);
}

/** What holds on to `config.toml` is nobody's secret: its words are looked through for ours. */
function expectNoSecret({ out, err }: Said): void {
  expect(out + err).not.toContain(token.slice(6, -5));
  expect(out + err).not.toContain(admission.slice(25));
}

test("vault ls: a table, JSON, and words where there is none", async () => {
  const none = await run("vault ls");
  expect(none).toMatchObject({ code: 0, out: "", err: "no vaults yet (fly-vault add)\n" });
  expect((await run("vault ls --json")).out).toBe(
    '{"schema":"fly-vault/vault-list","version":1,"data":[]}\n',
  );
  write(`default_vault = "home"\n${home}[vault.broken]\naddress = 3\n`);
  expect((await run("vault ls")).out).toBe(
    "NAME    ADDRESS  ORG  APP  MACHINE\nhome *  h:1      o    a    -\nbroken  -        -    -    -\n",
  );
  expect(JSON.parse((await run("vault ls --json")).out).data[0]).toEqual({
    name: "home",
    address: "h:1",
    org: "o",
    app: "a",
    machine_id: null,
    default: true,
  });
});

test("vault show and config show: where from, and no secret", async () => {
  write(`${home}access_token = "${token}"\nadmission_key = "${admission}"\nforward = ["3000"]\n`);
  const shown = await run("vault show");
  expect(shown.out).toContain(`fvt1_…${token.slice(-4)} (configuration)`);
  expect(shown.out).toContain("fva1_1_148e21ea7e46e8_…");
  const json = await run("vault show --json");
  expect(JSON.parse(json.out)).toMatchObject({
    schema: "fly-vault/vault",
    data: { name: "home", has_admission_key: true },
  });
  const all = await run("config show --origin", { env: { FLY_VAULT_TOKEN: token } });
  expect(all.out).toContain('vault = "home"  # the only one\n');
  expect(all.out).toContain(`vault.home.app = "a"  # ${path}:5\n`);
  expect(all.out).toContain(`FLY_VAULT_TOKEN = "fvt1_…${token.slice(-4)}"  # environment\n`);
  const data = JSON.parse((await run("config show --json")).out).data;
  expect(data).toContainEqual({
    key: "vault.home.forward",
    value: ["3000"],
    origin: `${path}:8`,
  });
  expect((await run("config path")).out).toBe(`${path}\n`);
  for (const said of [shown, json, all]) expectNoSecret(said);
});

test("a weak token is not shown at all; what cannot be read is said so; a command is not run", async () => {
  write(`${home}access_token = "hunter2 hunter2"\n`);
  expect((await run("vault show")).out).toContain("token    … (configuration)");
  write(`${home}token = { file = "none" }\n`);
  expect((await run("vault show")).out).toContain("none (file ");
  write(`${home}token = { command = ["touch", "${folder}/ran"] }\n`);
  expect((await run("vault show")).out).toContain("… (command touch)");
  expect(existsSync(join(folder, "ran"))).toBeFalse();
  write(`${home}token = { keychain = true }\n`);
  expect((await run("vault show")).out).toContain("none (keychain: ");
});

test("vault use and vault rm leave all the rest as it was", async () => {
  write(`${home}\n# other\n[vault.b]\naddress = "h:2"\norg = "o"\napp = "a"\n\n# end\n`);
  const before = read();
  expect((await run("vault use b")).code).toBe(0);
  expect(read()).toBe(`default_vault = "b"\n${before}`);
  expect((await run("vault use c")).code).toBe(3);
  expect((await run("vault use --unset")).code).toBe(0);
  expect(read()).toBe(before);
  expect((await run("vault use --unset")).code).toBe(0);
  expect((await run("vault use")).code).toBe(2);
  await run("vault use b");
  expect((await run("vault rm b")).err).toContain('refusing to take "b" out without --yes');
  expect((await run("vault rm b --yes")).code).toBe(0);
  expect(read()).toBe(`${home}\n# other\n\n# end\n`);
  expect((await run("vault rm b --yes")).code).toBe(3);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("token set and rm: a private file, its place in the configuration, and gone again", async () => {
  write(`${home}access_token = "old old old"\n`);
  const set = await run("token set", { stdin: `${token}\n` });
  expect(set.code).toBe(0);
  expect(set.err).toMatch(
    /^the token of "home" is in .*home\.token \(there is no keychain here\)\n$/,
  );
  expect(read()).toBe(`${home}token = { file = "home.token" }\n`);
  expect(statSync(join(folder, "home.token")).mode & 0o777).toBe(0o600);
  expect((await run("vault show")).out).toContain(`fvt1_…${token.slice(-4)} (file `);
  const kept = await run("token set --token-store config", { stdin: token });
  expect(kept.code).toBe(0);
  expect(read()).toBe(`${home}access_token = "${token}"\n`);
  expect(existsSync(join(folder, "home.token"))).toBeFalse();
  expect((await run("token set --token-store keychain", { stdin: token })).err).toContain(
    "FV-CFG-008",
  );
  expect(read()).toBe(`${home}access_token = "${token}"\n`);
  expect((await run("token set", { stdin: `${token}x` })).err).toContain("mistyped");
  await run("token set", { stdin: token });
  expect((await run("token rm --yes")).err).toContain("removed ");
  expect(read()).toBe(home);
  expect(existsSync(join(folder, "home.token"))).toBeFalse();
  for (const said of [set, kept]) expectNoSecret(said);
});

test("a place that cannot be changed alone is left to a person, and no token stays behind", async () => {
  write('vault = { home = { address = "h:1", org = "o", app = "a" } }\n');
  const set = await run("token set", { stdin: token });
  expect(set.code).toBe(7);
  expect(set.err).toContain("FV-CFG-012");
  expect(existsSync(join(folder, "home.token"))).toBeFalse();
});

test("a folder that others can write is refused with its fix", async () => {
  write(home);
  chmodSync(folder, 0o777);
  const said = await run("vault show");
  expect(said.code).toBe(2);
  expect(said.err).toContain(`chmod go-w '${folder}'`);
  chmodSync(folder, 0o1777);
  expect((await run("vault show")).code).toBe(0);
  chmodSync(folder, 0o700);
});

test("another run that does not let go is not waited for without end", async () => {
  write(home);
  const { promise: letGo, resolve } = Promise.withResolvers<void>();
  let ms = 0;
  const context = { env: env(), monotonicMs: () => (ms += 2000) };
  // Held by a run that stands still in the middle of its edit.
  const standing = ["sh", "-c", "echo held; exec sleep 30"];
  const held = Bun.spawn(["flock", "-F", join(folder, ".fly-vault.lock"), ...standing], {
    stdout: "pipe",
  });
  try {
    await held.stdout.getReader().read();
    const failure = await rejection(editConfig(context, () => [addTable(["vault", "x"], [])]));
    expect(failure).toMatchObject({ code: "FV-CFG-012" });
    expect(read()).toBe(home);
  } finally {
    held.kill();
    await held.exited;
    resolve();
    await letGo;
  }
});

/** A keychain as a desktop has it. */
class MemoryKeychain implements Keychain {
  readonly kept = new Map<string, string>();
  isLocked = false;

  async get(account: string): Promise<string | undefined> {
    this.#check();
    return this.kept.get(account);
  }

  async set(account: string, secret: string): Promise<void> {
    this.#check();
    this.kept.set(account, secret);
  }

  async remove(account: string): Promise<boolean> {
    this.#check();
    return this.kept.delete(account);
  }

  #check(): void {
    if (this.isLocked) throw new KeychainError("it is locked");
  }
}

test("a keychain is preferred; its token is read, and gone with the vault", async () => {
  const keychain = new MemoryKeychain();
  const stored = await storeToken(token, { vault: "home", store: "auto", keychain }, env());
  expect(stored).toMatchObject({ value: "{ keychain = true }", place: "in the keychain" });
  write(`${home}token = ${stored.value}\n`);
  const { vault } = loadVault("home", env());
  const context = memoryContext({ env: env() });
  expect((await readAccessToken(vault, context, undefined, keychain)).token).toBe(token);
  expect([...keychain.kept.keys()]).toEqual([keychainAccount("home", path)]);
  keychain.isLocked = true;
  expect(await rejection(readAccessToken(vault, context, undefined, keychain))).toMatchObject({
    code: "FV-CFG-008",
    because: "it is locked",
  });
  expect(await dropToken(vault, keychain, env())).toContain("it is locked");
  const second = await storeToken(token, { vault: "home", store: "auto", keychain }, env());
  expect(second.value).toBe('{ file = "home.token" }');
  keychain.isLocked = false;
  expect(await dropToken(vault, keychain, env())).toContain("out of the keychain");
  expect(keychain.kept.size).toBe(0);
});

test("a file of the user's own is not removed", async () => {
  write(`${home}token = { file = "mine.token" }\n`);
  writeFileSync(join(folder, "mine.token"), token, { mode: 0o600 });
  expect((await run("vault rm home --yes")).err).toContain("the token stays in ");
  expect(existsSync(join(folder, "mine.token"))).toBeTrue();
});

test("no command leaves a temporary file behind", async () => {
  write(home);
  const other = await mkdtemp(join(folder, "x"));
  await mkdir(join(other, "y"));
  await run("token set", { stdin: token });
  await run("vault use home");
  await run("vault rm home --yes");
  expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
});
