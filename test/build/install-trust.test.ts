import { describe, expect, test } from "bun:test";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scriptWithKeys } from "../../build/release/signing.ts";
import { InstallStage, program, script } from "./install-stage.ts";

const stage = new InstallStage();

describe("wget, where there is no curl,", () => {
  const tools =
    "sh id tar gzip mktemp uname sed sha256sum wc rm cp chmod mv ln mkdir readlink sync wget ssh-keygen";
  const byWget = async (env: Readonly<Record<string, string>> = {}) => {
    const bin = join(stage.prefix, "tools");
    await mkdir(bin);
    for (const tool of tools.split(" ")) await symlink(Bun.which(tool) ?? "", join(bin, tool));
    return stage.install([], { shell: [Bun.which("dash") ?? ""], env: { PATH: bin, ...env } });
  };

  test("does", async () => {
    await stage.host.publish("0.2.0", program("0.2.0"));
    const { code, err } = await byWget();
    expect(err).toContain("is installed in");
    expect(code).toBe(0);
  });

  test("says why it could not", async () => {
    const { code, err } = await byWget();
    expect(err).toMatch(/^ {2}cause: http:.*SHA256SUMS: .*404/m);
    expect(code).toBe(1);
  });

  test("is not led from https to http", async () => {
    await stage.host.publish("0.2.0", program("0.2.0"));
    const pem = join(stage.prefix, "pem");
    const made = Bun.spawnSync([
      ..."openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=releases -addext".split(" "),
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      `${pem}.key`,
      "-out",
      pem,
    ]);
    expect(made.exitCode).toBe(0);
    await writeFile(`${pem}.wgetrc`, `ca_certificate = ${pem}\n`);
    using secure = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: Bun.file(pem), key: Bun.file(`${pem}.key`) },
      fetch: ({ url }) =>
        Response.redirect(
          `${stage.host.base}${new URL(url).pathname.slice("/releases".length)}`,
          302,
        ),
    });
    stage.host.asked.length = 0;
    const { code, err } = await byWget({
      FLY_VAULT_RELEASES: `https://127.0.0.1:${secure.port}/releases`,
      WGETRC: `${pem}.wgetrc`,
      no_proxy: "127.0.0.1",
    });
    expect(err).toContain("could not be fetched");
    expect({ code, asked: stage.host.asked, installed: await stage.installed() }).toEqual({
      code: 1,
      asked: [],
      installed: [],
    });
  });
});

test.each([
  ["0.2.0", "0.1.0"],
  ["0.10.0", "0.9.1"],
  ["1.0.0", "1.0.0-rc.1"],
])(
  "with %s installed, %s as the newest is refused, and comes when it is named",
  async (now, old) => {
    await mkdir(join(stage.prefix, "bin"));
    await writeFile(join(stage.prefix, "bin/fly-vault"), program(now), { mode: 0o755 });
    await stage.host.publish(old, program(old));
    const { code, err } = await stage.install([]);
    expect(err).toContain(`is ${now}`);
    expect(err).toContain(`fix:   if you want it all the same:  --version ${old}\n`);
    expect(code).toBe(1);
    expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program(now));
    expect((await stage.install(["--version", old])).code).toBe(0);
    expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program(old));
  },
);

test("a stranger's key is refused; without a key only checksums are checked, and it says so", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  const stranger = (await readFile(join(stage.host.folder, "stranger.pub"), "utf8")).trim();
  const refused = await stage.install([], { env: { FLY_VAULT_RELEASE_KEY: stranger } });
  expect(refused.err).toContain("not signed by the right key");
  const insisted = await stage.install(["--require-signature"], {
    env: { FLY_VAULT_RELEASE_KEY: "" },
  });
  expect(insisted.err).toContain("signature cannot be checked");
  expect(await stage.installed()).toEqual([]);
  const { code, err } = await stage.install([], { env: { FLY_VAULT_RELEASE_KEY: "" } });
  expect(err).toContain("note: the signature was not checked (no key is known)");
  expect(code).toBe(0);
});

test("of the keys that are built in any may have signed", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  const stranger = (await readFile(join(stage.host.folder, "stranger.pub"), "utf8")).trim();
  const keyed = join(stage.host.folder, "keyed.sh");
  await writeFile(keyed, await scriptWithKeys(script, `${stranger}\n${stage.host.key}`));
  const env = { FLY_VAULT_RELEASE_KEY: "" };
  const { code, err } = await stage.install(["--require-signature"], { env, file: keyed });
  expect(err).toContain("is installed in");
  expect(code).toBe(0);
});

test("an ssh-keygen that knows no signatures is as good as none, and no attack", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  const bin = join(stage.prefix, "tools");
  await mkdir(bin);
  const old = `#!/bin/sh\necho "unknown option -- Y\nusage: ssh-keygen [-q]" >&2\nexit 1\n`;
  await writeFile(join(bin, "ssh-keygen"), old, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
  const insisted = await stage.install(["--require-signature"], { env });
  expect(insisted.err).toContain("cause: ssh-keygen is older than OpenSSH 8.1\n");
  expect({ code: insisted.code, installed: await stage.installed() }).toEqual({
    code: 1,
    installed: [],
  });
  const { code, err } = await stage.install([], { env });
  expect(err).toContain("note: the signature was not checked (ssh-keygen is older than OpenSSH");
  expect(code).toBe(0);
});

test("what is somebody else's is not replaced, and nothing is installed beside it", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  await mkdir(join(stage.prefix, "bin"));
  await writeFile(join(stage.prefix, "bin/vault-proxy"), "mine");
  const { code, err } = await stage.install([]);
  expect({ code, installed: await stage.installed() }).toEqual({
    code: 1,
    installed: ["vault-proxy"],
  });
  expect(err).toContain("is there, and is no link to fly-vault");
});

test("a link that leads elsewhere is somebody else's too", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  await mkdir(join(stage.prefix, "bin"));
  for (const [name, target, words] of [
    ["fly-vault", "../Cellar/fly-vault/0.1.0/bin/fly-vault", "is a link"],
    ["vault-proxy", "/opt/other/vault-proxy", "is there, and is no link to fly-vault"],
  ] as const) {
    await symlink(target, join(stage.prefix, "bin", name));
    const { code, err } = await stage.install([]);
    expect({ code, installed: await stage.installed() }).toEqual({ code: 1, installed: [name] });
    expect(err).toContain(words);
    expect(err).toContain(target);
    expect(err).toMatch(/^ {2}fix: {3}\S/m);
    await rm(join(stage.prefix, "bin", name));
  }
  await symlink(join(stage.prefix, "bin/fly-vault"), join(stage.prefix, "bin/vault-proxy"));
  expect((await stage.install([])).code).toBe(0);
});

test("the new program is written where nobody else can have put a link", async () => {
  const seen = join(stage.prefix, "seen");
  await stage.host.publish(
    "0.2.0",
    `#!/bin/sh\nls -ld "\${0%/*}" >${seen}\necho "fly-vault 0.2.0"\n`,
  );
  await mkdir(join(stage.prefix, "bin"));
  const victim = join(stage.prefix, "victim");
  await writeFile(victim, "mine");
  const trap = `ln -s ${victim} ${stage.prefix}/bin/.fly-vault-install.$$; exec dash "$@"`;
  const { code } = await stage.install([], { shell: ["dash", "-c", trap, "trap"] });
  expect(code).toBe(0);
  expect(await readFile(victim, "utf8")).toBe("mine");
  expect(await readFile(seen, "utf8")).toMatch(/^drwx------ .*\/bin\/\.fly-vault-update-\w+\n$/);
});
