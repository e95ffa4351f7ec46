import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scriptWithKeys } from "../../build/release/signing.ts";
import { releaseSource } from "../../src/roles/client/update/release-source.ts";
import { makeKey, ReleaseHost } from "../support/release-host.ts";

const script = join(import.meta.dir, "../../build/release/install.sh");
let host: ReleaseHost;
let prefix: string;
let scratch: string;

beforeAll(async () => {
  host = await ReleaseHost.open();
  await makeKey(join(host.folder, "stranger"));
});
beforeEach(async () => {
  host.files.clear();
  host.newest = undefined;
  prefix = await mkdtemp(join(tmpdir(), "fv-prefix-"));
  scratch = await mkdtemp(join(tmpdir(), "fv-scratch-"));
});
afterEach(async () => {
  await Promise.all([prefix, scratch].map(async (path) => rm(path, { recursive: true })));
});
afterAll(async () => host.close());

const program = (of: string) => `#!/bin/sh\necho "fly-vault ${of}"\n`;

interface InstallOptions {
  readonly shell?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly file?: string;
}

async function install(
  words: readonly string[],
  { shell = ["dash"], env = {}, file = script }: InstallOptions = {},
) {
  const child = Bun.spawn([...shell, file, "--prefix", prefix, ...words], {
    cwd: "/",
    env: { PATH: process.env["PATH"] ?? "", HOME: prefix, TMPDIR: scratch, ...host.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  expect(await readdir(scratch)).toEqual([]);
  return { out, err, code };
}

async function installed(): Promise<string[]> {
  const names: string[] = await readdir(join(prefix, "bin")).catch(() => []);
  return names.toSorted();
}
const roles = ["fly-local", "fly-vault", "fly-vault-admin", "vault-proxy"];

describe.each([[["dash"]], [["bash", "--posix"]], [["busybox", "sh"]]])("by %p", (shell) => {
  test("the newest release is installed, with its names", async () => {
    await host.publish("0.2.0", program("0.2.0"));
    const { code, err } = await install([], { shell });
    expect(err).toContain(`fly-vault 0.2.0 is installed in ${prefix}/bin\n`);
    expect(err).not.toContain("note:");
    expect(code).toBe(0);
    expect(await installed()).toEqual(roles);
    expect(await readlink(join(prefix, "bin/vault-proxy"))).toBe("fly-vault");
    expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program("0.2.0"));
  });

  test("another version takes its place", async () => {
    await host.publish("0.1.0", program("0.1.0"));
    await host.publish("0.2.0", program("0.2.0"));
    expect((await install(["--version", "v0.1.0"], { shell })).code).toBe(0);
    expect((await install([], { shell })).code).toBe(0);
    expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program("0.2.0"));
    expect(await installed()).toEqual(roles);
  });
});

describe("wget, where there is no curl,", () => {
  const tools =
    "sh id tar gzip mktemp uname sed sha256sum wc rm cp chmod mv ln mkdir readlink sync wget ssh-keygen";
  const byWget = async (env: Readonly<Record<string, string>> = {}) => {
    const bin = join(prefix, "tools");
    await mkdir(bin);
    for (const tool of tools.split(" ")) await symlink(Bun.which(tool) ?? "", join(bin, tool));
    return install([], { shell: [Bun.which("dash") ?? ""], env: { PATH: bin, ...env } });
  };

  test("does", async () => {
    await host.publish("0.2.0", program("0.2.0"));
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
    await host.publish("0.2.0", program("0.2.0"));
    const pem = join(prefix, "pem");
    const made = Bun.spawnSync([
      ..."openssl req -x509 -newkey ed25519 -nodes -days 2 -subj /CN=releases".split(" "),
      ...["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", `${pem}.key`, "-out", pem],
    ]);
    expect(made.exitCode).toBe(0);
    await writeFile(`${pem}.wgetrc`, `ca_certificate = ${pem}\n`);
    await using secure = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: Bun.file(pem), key: Bun.file(`${pem}.key`) },
      fetch: ({ url }) =>
        Response.redirect(`${host.base}${new URL(url).pathname.slice("/releases".length)}`, 302),
    });
    host.asked.length = 0;
    const { code, err } = await byWget({
      FLY_VAULT_RELEASES: `https://127.0.0.1:${secure.port}/releases`,
      WGETRC: `${pem}.wgetrc`,
      no_proxy: "127.0.0.1",
    });
    expect(err).toContain("could not be fetched");
    expect({ code, asked: host.asked, installed: await installed() }).toEqual({
      code: 1,
      asked: [],
      installed: [],
    });
  });
});

/** A computer that says it is another one. */
async function pretending(system: string, machine: string): Promise<string> {
  const bin = join(prefix, "tools");
  await mkdir(bin);
  const uname = `#!/bin/sh\ncase $1 in -s) echo ${system} ;; *) echo ${machine} ;; esac\n`;
  await writeFile(join(bin, "uname"), uname, { mode: 0o755 });
  return `${bin}:${process.env["PATH"] ?? ""}`;
}

test("a Mac gets what is for a Mac, without fly-local", async () => {
  await host.publish("0.2.0", program("0.2.0"), ["linux-x64", "darwin-arm64"]);
  host.asked.length = 0;
  const { code } = await install([], { env: { PATH: await pretending("Darwin", "arm64") } });
  expect(code).toBe(0);
  expect(host.asked.at(-1)).toBe("/download/v0.2.0/fly-vault-0.2.0-darwin-arm64.tar.gz");
  expect(await installed()).toEqual(["fly-vault", "fly-vault-admin", "vault-proxy"]);
});

test.each([
  ["FreeBSD", "amd64", "not made for this system"],
  ["Linux", "riscv64", "not made for this processor"],
])("%s on %s is told, and nothing is asked", async (system, machine, words) => {
  host.asked.length = 0;
  const { code, err } = await install([], { env: { PATH: await pretending(system, machine) } });
  expect(err).toContain(words);
  expect({ code, asked: host.asked }).toEqual({ code: 1, asked: [] });
});

type Damage = (stem: string) => void | Promise<void>;
const archiveOf = (stem: string) => `${stem}/fly-vault-0.2.0-linux-x64.tar.gz`;
const damages: readonly (readonly [string, RegExp, Damage])[] = [
  [
    "an archive with another checksum",
    /is not what the release says/,
    (stem) => {
      const bytes = Buffer.from(host.files.get(archiveOf(stem)) as Uint8Array);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      host.files.set(archiveOf(stem), bytes);
    },
  ],
  [
    "an archive cut short",
    /is not what the release says/,
    (stem) => {
      host.files.set(archiveOf(stem), (host.files.get(archiveOf(stem)) as Uint8Array).slice(0, 50));
    },
  ],
  [
    "an archive that is not there",
    /could not be fetched/,
    (stem) => {
      host.files.delete(archiveOf(stem));
    },
  ],
  [
    "a list without a signature",
    /could not be fetched/,
    (stem) => {
      host.files.delete(`${stem}/SHA256SUMS.sig`);
    },
  ],
  [
    "a list that was changed",
    /not signed by the right key/,
    (stem) => {
      host.files.set(`${stem}/SHA256SUMS`, `${String(host.files.get(`${stem}/SHA256SUMS`))}\n`);
    },
  ],
  [
    "a list that is endless",
    /longer than 65536|could not be fetched/,
    (stem) => {
      host.files.set(`${stem}/SHA256SUMS`, "x".repeat(100_000));
    },
  ],
  [
    "nothing for this system",
    /has nothing for linux-x64/,
    async () => host.publish("0.2.0", program("0.2.0"), ["darwin-x64"]),
  ],
  [
    "a program that does not run",
    /does not run on this computer/,
    async () => host.publish("0.2.0", "#!/bin/sh\nexit 1\n"),
  ],
  ["nothing at all", /could not be fetched/, () => host.files.clear()],
];

test.each(damages)("%s: what was there stays, and nothing else is", async (_, words, damage) => {
  await host.publish("0.1.0", program("0.1.0"));
  expect((await install([])).code).toBe(0);
  await host.publish("0.2.0", program("0.2.0"));
  await damage("/download/v0.2.0");
  const { code, err } = await install([]);
  expect(err).toMatch(words);
  expect(err).toMatch(/^ {2}fix: {3}\S/m);
  expect(code).toBe(1);
  expect(await installed()).toEqual(roles);
  expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program("0.1.0"));
});

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "%s while the program is tried: what was there stays, and nothing else is",
  async (signal) => {
    await host.publish("0.1.0", program("0.1.0"));
    expect((await install([])).code).toBe(0);
    const tried = join(prefix, "tried");
    await host.publish("0.2.0", `#!/bin/sh\ntouch ${tried}\nexec sleep 60\n`);
    const child = Bun.spawn(["dash", script, "--prefix", prefix], {
      env: { PATH: process.env["PATH"] ?? "", TMPDIR: scratch, ...host.env },
      stdin: "ignore",
      stderr: "ignore",
      // As a terminal does it, all of its group gets the signal.
      detached: true,
    });
    while (!(await Bun.file(tried).exists())) await Bun.sleep(5);
    process.kill(-child.pid, signal);
    expect(await child.exited).not.toBe(0);
    expect(await installed()).toEqual(roles);
    expect(await readdir(scratch)).toEqual([]);
    expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program("0.1.0"));
  },
);

test("a release of another version than asked for is refused", async () => {
  await host.publish("0.1.0", program("0.1.0"));
  for (const name of ["SHA256SUMS", "SHA256SUMS.sig"])
    host.files.set(`/download/v0.3.0/${name}`, host.files.get(`/download/v0.1.0/${name}`) ?? "");
  const { err } = await install(["--version", "0.3.0"]);
  expect(err).toContain("what is there as 0.3.0 is another version");
  expect(await installed()).toEqual([]);
});

test.each([
  ["0.2.0", "0.1.0"],
  ["0.10.0", "0.9.1"],
  ["1.0.0", "1.0.0-rc.1"],
])(
  "with %s installed, %s as the newest is refused, and comes when it is named",
  async (now, old) => {
    await mkdir(join(prefix, "bin"));
    await writeFile(join(prefix, "bin/fly-vault"), program(now), { mode: 0o755 });
    await host.publish(old, program(old));
    const { code, err } = await install([]);
    expect(err).toContain(`is ${now}`);
    expect(err).toContain(`fix:   if you want it all the same:  --version ${old}\n`);
    expect(code).toBe(1);
    expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program(now));
    expect((await install(["--version", old])).code).toBe(0);
    expect(await readFile(join(prefix, "bin/fly-vault"), "utf8")).toBe(program(old));
  },
);

test("a stranger's key is refused; without a key only checksums are checked, and it says so", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  const stranger = (await readFile(join(host.folder, "stranger.pub"), "utf8")).trim();
  const refused = await install([], { env: { FLY_VAULT_RELEASE_KEY: stranger } });
  expect(refused.err).toContain("not signed by the right key");
  const insisted = await install(["--require-signature"], { env: { FLY_VAULT_RELEASE_KEY: "" } });
  expect(insisted.err).toContain("signature cannot be checked");
  expect(await installed()).toEqual([]);
  const { code, err } = await install([], { env: { FLY_VAULT_RELEASE_KEY: "" } });
  expect(err).toContain("note: the signature was not checked (no key is known)");
  expect(code).toBe(0);
});

test("of the keys that are built in any may have signed", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  const stranger = (await readFile(join(host.folder, "stranger.pub"), "utf8")).trim();
  const keyed = join(host.folder, "keyed.sh");
  await writeFile(keyed, await scriptWithKeys(script, `${stranger}\n${host.key}`));
  const env = { FLY_VAULT_RELEASE_KEY: "" };
  const { code, err } = await install(["--require-signature"], { env, file: keyed });
  expect(err).toContain("is installed in");
  expect(code).toBe(0);
});

test("an ssh-keygen that knows no signatures is as good as none, and no attack", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  const bin = join(prefix, "tools");
  await mkdir(bin);
  const old = `#!/bin/sh\necho "unknown option -- Y\nusage: ssh-keygen [-q]" >&2\nexit 1\n`;
  await writeFile(join(bin, "ssh-keygen"), old, { mode: 0o755 });
  const env = { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
  const insisted = await install(["--require-signature"], { env });
  expect(insisted.err).toContain("cause: ssh-keygen is older than OpenSSH 8.1\n");
  expect({ code: insisted.code, installed: await installed() }).toEqual({ code: 1, installed: [] });
  const { code, err } = await install([], { env });
  expect(err).toContain("note: the signature was not checked (ssh-keygen is older than OpenSSH");
  expect(code).toBe(0);
});

test("what is somebody else's is not replaced, and nothing is installed beside it", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  await mkdir(join(prefix, "bin"));
  await writeFile(join(prefix, "bin/vault-proxy"), "mine");
  const { code, err } = await install([]);
  expect({ code, installed: await installed() }).toEqual({ code: 1, installed: ["vault-proxy"] });
  expect(err).toContain("is there, and is no link to fly-vault");
});

test("a link that leads elsewhere is somebody else's too", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  await mkdir(join(prefix, "bin"));
  for (const [name, target, words] of [
    ["fly-vault", "../Cellar/fly-vault/0.1.0/bin/fly-vault", "is a link"],
    ["vault-proxy", "/opt/other/vault-proxy", "is there, and is no link to fly-vault"],
  ] as const) {
    await symlink(target, join(prefix, "bin", name));
    const { code, err } = await install([]);
    expect({ code, installed: await installed() }).toEqual({ code: 1, installed: [name] });
    expect(err).toContain(words);
    expect(err).toContain(target);
    expect(err).toMatch(/^ {2}fix: {3}\S/m);
    await rm(join(prefix, "bin", name));
  }
  await symlink(join(prefix, "bin/fly-vault"), join(prefix, "bin/vault-proxy"));
  expect((await install([])).code).toBe(0);
});

test("the new program is written where nobody else can have put a link", async () => {
  const seen = join(prefix, "seen");
  await host.publish("0.2.0", `#!/bin/sh\nls -ld "\${0%/*}" >${seen}\necho "fly-vault 0.2.0"\n`);
  await mkdir(join(prefix, "bin"));
  const victim = join(prefix, "victim");
  await writeFile(victim, "mine");
  const trap = `ln -s ${victim} ${prefix}/bin/.fly-vault-install.$$; exec dash "$@"`;
  const { code } = await install([], { shell: ["dash", "-c", trap, "trap"] });
  expect(code).toBe(0);
  expect(await readFile(victim, "utf8")).toBe("mine");
  expect(await readFile(seen, "utf8")).toMatch(/^drwx------ .*\/bin\/\.fly-vault-update-\w+\n$/);
});

test("a folder that may not be written is told", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  await Promise.all(
    [prefix, scratch].map(async (path) => chmod(path, path === scratch ? 0o777 : 0o755)),
  );
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "dash"];
  const { code, err } = await install([], { shell: nobody });
  expect(err).toContain("may not write");
  expect(code).toBe(1);
});

test.each(["--frob", "--prefix", "--version=../x"])("%s is a mistake", async (word) => {
  const { code, err } = await install([word]);
  expect(err).toContain("usage: install.sh");
  expect(code).toBe(2);
});

test("over http nothing is fetched from elsewhere", async () => {
  const { err } = await install([], { env: { FLY_VAULT_RELEASES: "http://releases.example" } });
  expect(err).toContain("over https alone");
});

test("a script that is cut short at any line does nothing", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  host.asked.length = 0;
  const lines = (await readFile(script, "utf8")).trimEnd().split("\n");
  const cut = join(host.folder, "cut.sh");
  for (let count = 1; count < lines.length; count += 10) {
    await writeFile(cut, lines.slice(0, count).join("\n"));
    Bun.spawnSync(["dash", cut, "--prefix", prefix], {
      env: { PATH: "/usr/bin:/bin", ...host.env },
    });
  }
  expect({ asked: host.asked, installed: await installed() }).toEqual({ asked: [], installed: [] });
});

test("a script whose last line is cut short at any byte does nothing", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  host.asked.length = 0;
  const text = (await readFile(script, "utf8")).trimEnd();
  await Promise.all([chmod(prefix, 0o777), chmod(scratch, 0o777)]);
  // Without its words it would install into the home folder, or as root into /usr/local: not here.
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  for (let length = text.lastIndexOf("\n"); length < text.length; length += 1) {
    const { exitCode } = Bun.spawnSync([...nobody, "dash", "-s", "--", "--prefix", prefix], {
      stdin: Buffer.from(text.slice(0, length)),
      env: { PATH: "/usr/bin:/bin", HOME: prefix, TMPDIR: scratch, ...host.env },
    });
    expect([0, 2]).toContain(exitCode);
  }
  expect({ asked: host.asked, left: await readdir(prefix) }).toEqual({ asked: [], left: [] });
});

test("install.sh is clean for shellcheck, as POSIX sh", async () => {
  const { stdout, exitCode } = Bun.spawnSync(["shellcheck", "--shell=sh", script]);
  expect(String(stdout)).toBe("");
  expect(exitCode).toBe(0);
});

test("install.sh and the client look for releases in the same place", async () => {
  const { base } = releaseSource({});
  expect(await readFile(script, "utf8")).toContain(`releases=\${FLY_VAULT_RELEASES:-${base}}\n`);
});
