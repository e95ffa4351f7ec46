import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../../../src/cli/failure.ts";
import { readAccessToken } from "../../../../src/roles/client/vault/access-token.ts";
import { formatAdmissionKey } from "../../../../src/quic/admission-key.ts";
import { checkPrivateFile } from "../../../../src/roles/client/vault/private-folder.ts";
import { type LoadedConfig, loadVault } from "../../../../src/roles/client/vault/vault-config.ts";
import { rejection } from "../../../support/rejection.ts";
import { memoryContext } from "../../../support/memory-context.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fv-config-"));
  path = join(folder, "config.toml");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const good = `[vault.dev]
address = "dev.example:8443"
org = "acme"
app = "dev-vaults"
`;

function load(text: string | Uint8Array, name = "dev", mode = 0o600): LoadedConfig {
  writeFileSync(path, text);
  chmodSync(path, mode);
  return loadVault(name, { FLY_VAULT_CONFIG: path, HOME: folder });
}

function failure(work: () => unknown): Failure {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("No failure");
}

test("the keys of the reference, issuer, token and digest are read", () => {
  const { vault, warnings } = load(`${good}machine_id = "148e21ea7e46e8"
access_token = "secret"
forward = ["8080:localhost:8080", "5432:[fdaa::3]:5432"]
rootfs = "~/r.tar.gz"
issuer = "http://127.0.0.1:4280/local"
rootfs_sha256 = "${"ab".repeat(32)}"
`);
  expect(warnings).toEqual([]);
  expect(vault).toMatchObject({ name: "dev", org: "acme", forward: { length: 2 }, folder });
});

test("a byte order mark and Windows line ends are accepted", () => {
  const { vault } = load(`\uFEFF${good.replaceAll("\n", "\r\n")}`);
  expect(vault.app).toBe("dev-vaults");
});

test("another vault's mistake is none of ours", () => {
  expect(load(`${good}[vault.other]\naddress = 5\n`).vault.name).toBe("dev");
});

test("unknown keys are warned of with their line and a near key", () => {
  const { warnings } = load(`colour = "red"\n${good}forwrd = []\n`);
  expect(warnings).toEqual([
    `${path}:1: unknown key "colour"`,
    `${path}:6: unknown key "forwrd" (did you mean forward?)`,
  ]);
});

describe("files that cannot be used", () => {
  test("missing, folder, too large, not UTF-8, not TOML", () => {
    const env = { FLY_VAULT_CONFIG: join(folder, "none.toml") };
    expect(failure(() => loadVault("dev", env)).code).toBe("FV-CFG-001");
    mkdirSync(join(folder, "dir"));
    const dir = { FLY_VAULT_CONFIG: join(folder, "dir") };
    const notFile = failure(() => loadVault("dev", dir));
    expect([notFile.code, notFile.message]).toEqual([
      "FV-CFG-002",
      expect.stringMatching(/" is not a file$/),
    ]);
    const huge = failure(() => load(new Uint8Array(1024 * 1024 + 1)));
    expect([huge.code, huge.message]).toEqual([
      "FV-CFG-002",
      `"${path}" is 1048577 bytes long, not a configuration`,
    ]);
    expect(failure(() => load(Uint8Array.of(0x61, 0xff, 0xfe))).code).toBe("FV-CFG-003");
    const syntax = failure(() => load(`${good}forward = [\n`));
    expect(syntax.code).toBe("FV-CFG-003");
    expect(syntax.message).toStartWith(`${path}:`);
    expect(failure(() => load(`${good}org = "again"\n`)).code).toBe("FV-CFG-003");
  });

  test.each([
    ['access_token = "fvt1_secret', "access_token = …"],
    ['"access_token" = "fvt1_secret', "…"],
    ["access_token = fvt1_secret", "access_token = …"],
    ['token = { command = ["x", "fvt1_secret] }', "token = …"],
    ["fvt1_secret", "…"],
    ["[vault.dev]", "[vault.dev]"],
  ])("what is wrong TOML is not shown, it may be the token: %s", (line, shown) => {
    const error = failure(() => load(`${good}${line}\n`));
    expect(error.code).toBe("FV-CFG-003");
    expect(error.because).toEndWith(`: ${shown}`);
    expect(JSON.stringify([error.message, error.because, error.stack])).not.toContain("secret");
  });

  test("a token that others can read is refused with the fix; without a token the mode is free", () => {
    for (const mode of [0o644, 0o640, 0o620, 0o604]) {
      const open = failure(() => load(`${good}access_token = "x"\n`, "dev", mode));
      expect(open.code).toBe("FV-CFG-007");
      expect(open.fix).toBe(`chmod 600 '${path}'`);
    }
    expect(load(good, "dev", 0o644).vault.name).toBe("dev");
    const other = `${good}[vault.other]\naccess_token = "x"\n`;
    expect(failure(() => load(other, "dev", 0o644)).code).toBe("FV-CFG-007");
  });
});

test("a file that others can write may name a command to run, so it is refused", () => {
  const risky = `${good}token = { command = ["id"] }\n`;
  for (const mode of [0o606, 0o646, 0o602]) {
    const open = failure(() => load(risky, "dev", mode));
    expect(open).toMatchObject({ code: "FV-CFG-007", fix: `chmod go-w '${path}'` });
  }
  load(risky, "dev", 0o644);
  const elsewhere = mkdtempSync(join(tmpdir(), "fv-config-"));
  const link = join(elsewhere, "config.toml");
  symlinkSync(path, link);
  chmodSync(folder, 0o777);
  // The folder of the file itself counts, not only that of the link to it.
  expect(failure(() => loadVault("dev", { FLY_VAULT_CONFIG: link })).code).toBe("FV-CFG-007");
  chmodSync(folder, 0o700);
  rmSync(elsewhere, { recursive: true });
});

test("a file or folder of another user is refused, but to root", () => {
  const own = 12_345;
  const geteuid = spyOn(process, "geteuid").mockReturnValue(own);
  try {
    const at = { gid: own, mode: 0o100600 };
    for (const uid of [own, 0]) checkPrivateFile("/x", { uid, ...at });
    expect(failure(() => checkPrivateFile("/x", { uid: 54_321, ...at })).code).toBe("FV-CFG-007");
    geteuid.mockReturnValue(0);
    checkPrivateFile("/x", { uid: 54_321, ...at });
  } finally {
    geteuid.mockRestore();
  }
});

describe("admission_key", () => {
  const machineId = "148e21ea7e46e8";
  const key = formatAdmissionKey({
    epoch: 2,
    machineId,
    key: new Uint8Array(32).fill(3),
    mask: new Uint8Array(16),
  });

  test("is read, with machine_id or without", () => {
    for (const rest of ["", `machine_id = "${machineId}"\n`])
      expect(load(`${good}${rest}admission_key = "${key}"\n`).vault.admission_key).toBe(key);
  });

  test("of another machine than machine_id it is refused, and never shown", () => {
    const other = `${good}machine_id = "148e21ea7e46e9"\nadmission_key = "${key}"\n`;
    const damaged = `${good}\nadmission_key = "${key}x"\n`;
    for (const text of [other, damaged]) {
      const wrong = failure(() => load(text));
      expect(wrong.code).toBe("FV-CFG-004");
      expect(wrong.message).toStartWith(`${path}:6: "admission_key" `);
      expect(JSON.stringify([wrong.message, wrong.because, wrong.stack])).not.toContain(
        key.slice(-20),
      );
    }
  });

  test("is not for others to read", () => {
    const open = failure(() => load(`${good}admission_key = "${key}"\n`, "dev", 0o644));
    expect(open.code).toBe("FV-CFG-007");
  });
});

describe("names", () => {
  test("an unknown vault is exit 3 and lists those there are", () => {
    const unknown = failure(() => load(good, "dve"));
    expect(unknown).toMatchObject({ code: "FV-CFG-005", exitCode: 3 });
    expect(unknown.because).toBe(`${path} has dev`);
    expect(failure(() => load(`${good}[vault.my-dev]\n`, "mydev")).message).toBe(
      'there is no vault "mydev" (did you mean my-dev?)',
    );
    expect(failure(() => load("", "dev")).because).toContain("names no vault");
  });

  test.each(["__proto__", "constructor", "toString"])("%s is no vault by accident", (name) => {
    expect(failure(() => load(good, name)).code).toBe("FV-CFG-005");
  });

  test.each(["a/b", "a b", "..", "x".repeat(64), "", "-a"])("%j cannot name a vault", (name) => {
    const text = good.replace("vault.dev", `vault.${JSON.stringify(name)}`);
    expect(failure(() => load(text, name)).code).toBe("FV-CFG-004");
  });
});

test.each(["address", "org", "app"])("without %s it is FV-CFG-006", (key) => {
  const text = good
    .split("\n")
    .filter((line) => !line.startsWith(key))
    .join("\n");
  const missing = failure(() => load(text));
  expect(missing.code).toBe("FV-CFG-006");
  expect(missing.message).toBe(`${path}:1: "${key}" is missing`);
  expect(missing.because).toBeUndefined();
});

test("a key that is missing because it is misspelt is told as that", () => {
  const missing = failure(() => load(good.replace("address", "adress")));
  expect(missing.code).toBe("FV-CFG-006");
  expect(missing.because).toBe(`${path}:2: unknown key "adress" (did you mean address?)`);
});

test.each([
  ["address", "5"],
  ["address", '"dev.example"'],
  ["address", '"dev.example:0"'],
  ["address", '"dev.example:65536"'],
  ["address", '"fdaa::3:8443"'],
  ["address", '"[fdaa::3:8443"'],
  ["address", '"[1.2.3.4]:8443"'],
  ["address", '"https://dev.example:443"'],
  ["address", '"me@dev.example:443"'],
  ["address", '"bücher.example:443"'],
  ["address", '"1.2.3:443"'],
  ["org", '"Acme"'],
  ["org", '"a/b"'],
  ["org", '".."'],
  ["org", '"a@b"'],
  ["org", '"https://x"'],
  ["org", "true"],
  ["app", `"${"a".repeat(64)}"`],
  ["app", '"a_b"'],
  ["machine_id", '"148e21ea7e46e"'],
  ["machine_id", '"148E21EA7E46E8"'],
  ["issuer", '"http://oidc.example/acme"'],
  ["issuer", '"https://u:p@oidc.example/acme"'],
  ["issuer", '"ftp://oidc.example"'],
  ["access_token", "5"],
  ["transport", '"udp"'],
  ["transport", "true"],
  ["web_address", "443"],
  ["web_address", '"https://proxy.example"'],
  ["web_address", '"ws://proxy.example/v1/datagrams"'],
  ["admission_key", "5"],
  ["admission_key", '""'],
  ["admission_key", '"fva1_1_148e21ea7e46e8"'],
  ["token", '"plain"'],
  ["token", "{ keychain = false }"],
  ["forward", '"8080:localhost:8080"'],
  ["forward", "[8080]"],
  ["forward", '["8080:"]'],
  ["forward", '["0"]'],
  ["reverse_forward", '["5353/udp"]'],
  ["dynamic_forward", '["1080:localhost:80"]'],
  ["forward", '["80:localhost:65536"]'],
  ["forward", '["80:::1:80"]'],
  ["rootfs", '""'],
  ["rootfs", "[]"],
  ["rootfs_url", '"file:///etc/passwd"'],
  ["rootfs_url", '"https://u:p@example.com/x"'],
  ["rootfs_sha256", '"abc"'],
])("%s = %s is FV-CFG-004 with file, line and key", (key, value) => {
  const lines = good.split("\n").filter((line) => !line.startsWith(`${key} `));
  const text = ["# a comment", ...lines.slice(0, -1), "", `${key} = ${value}`].join("\n");
  const line = text.split("\n").length;
  const wrong = failure(() => load(text));
  expect(wrong.code).toBe("FV-CFG-004");
  expect(wrong.message).toStartWith(`${path}:${line}: "${key}" `);
});

async function read(
  keys: string,
  env: Record<string, string> = {},
  tokenFile?: string,
  stdin: Uint8Array[] = [],
) {
  const { vault } = load(`${good}${keys}`);
  const context = memoryContext({ env: { HOME: folder, ...env }, stdin });
  const result = await readAccessToken(vault, context, tokenFile);
  return { ...result, env: context.env };
}

function file(name: string, text: string, mode = 0o600): string {
  const where = join(folder, name);
  writeFileSync(where, text);
  chmodSync(where, mode);
  return where;
}

function command(...words: string[]): string {
  return `token = { command = ${JSON.stringify(words)} }\n`;
}

async function refused(keys: string, flag?: string): Promise<Failure> {
  const error = await rejection(read(keys, {}, flag));
  if (error instanceof Failure) return error;
  throw error;
}

describe("access tokens", () => {
  test("the first source wins, in the written order", async () => {
    const keys = `access_token = "from-config"\ntoken = { file = "cfg" }\n`;
    file("cfg", "from-token-file\n");
    const flag = file("flag", "from-flag\n");
    const named = file("named", "from-env-file\n");
    const env = { FLY_VAULT_TOKEN_FILE: named, FLY_VAULT_TOKEN: "from-env" };
    expect((await read(keys, env, flag)).token).toBe("from-flag");
    expect((await read(keys, env)).token).toBe("from-env-file");
    expect((await read(keys, { FLY_VAULT_TOKEN: "from-env" })).token).toBe("from-env");
    expect((await read(keys)).token).toBe("from-token-file");
    expect((await read(`access_token = "from config"\n`)).token).toBe("from config");
    const typed = [new TextEncoder().encode("from-stdin\n")];
    expect((await read(keys, env, "-", typed)).token).toBe("from-stdin");
  });

  test("a variable is taken away once it was read", async () => {
    const { env } = await read("", { FLY_VAULT_TOKEN: "x" });
    expect(Object.keys(env)).toEqual(["HOME"]);
  });

  test("a command gives the token; its failures are told apart", async () => {
    expect((await read(command("echo", "from-command"))).token).toBe("from-command");
    expect((await refused(command("sh", "-c", "exit 3"))).message).toContain('"sh" ended with 3');
    expect((await refused(command("/nonexistent/x"))).message).toContain("cannot be started");
    expect((await refused(command("true"))).message).toContain("is empty");
    expect((await refused(command("yes"))).message).toContain("prints more than a token");
  });

  test("an agent that a command leaves running is not waited for", async () => {
    const startMs = performance.now();
    const leaving = command("sh", "-c", "sleep 20 & echo $! >&2; echo from-command");
    expect((await read(leaving)).token).toBe("from-command");
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  test("a file without an end is not read to its end", async () => {
    expect((await refused("", "/dev/zero")).message).toContain("more than 4096 bytes");
  });

  test("a path with a quote in it is one word of the fix", async () => {
    const open = await refused("", file("it's", "x", 0o644));
    expect(open.fix).toContain("/it'\\''s'");
  });

  test("missing, unreadable, world-readable, empty, mistyped and several lines are refused", async () => {
    expect((await refused("")).code).toBe("FV-CFG-008");
    expect((await refused("", join(folder, "none"))).message).toContain("is not there");
    expect((await refused("", file("open", "x", 0o644))).code).toBe("FV-CFG-007");
    expect((await refused("", file("empty", "\n"))).message).toContain("is empty");
    expect((await refused("", file("two", "a\nb\n"))).message).toContain("more than one line");
    expect((await refused(`access_token = "fvt1_short"\n`)).message).toContain("mistyped");
    expect((await refused("", file("large", "x".repeat(5000)))).message).toContain(
      "more than 4096 bytes",
    );
  });

  test("a weak token works and is warned of", async () => {
    const { warnings } = await read(`access_token = "secret"\n`);
    expect(warnings.join()).toContain("long and random");
  });
});
