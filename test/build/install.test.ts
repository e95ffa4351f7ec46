import { describe, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { releaseSource } from "../../src/roles/client/update/release-source.ts";
import { InstallStage, program, roles, script } from "./install-stage.ts";

const stage = new InstallStage();

describe.each([[["dash"]], [["bash", "--posix"]], [["busybox", "sh"]]])("by %p", (shell) => {
  test("the newest release is installed, with its names", async () => {
    await stage.host.publish("0.2.0", program("0.2.0"));
    const { code, err } = await stage.install([], { shell });
    expect(err).toContain(`fly-vault 0.2.0 is installed in ${stage.prefix}/bin\n`);
    expect(err).not.toContain("note:");
    expect(code).toBe(0);
    expect(await stage.installed()).toEqual(roles);
    expect(await readlink(join(stage.prefix, "bin/vault-proxy"))).toBe("fly-vault");
    expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program("0.2.0"));
  });

  test("another version takes its place", async () => {
    await stage.host.publish("0.1.0", program("0.1.0"));
    await stage.host.publish("0.2.0", program("0.2.0"));
    expect((await stage.install(["--version", "v0.1.0"], { shell })).code).toBe(0);
    expect((await stage.install([], { shell })).code).toBe(0);
    expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program("0.2.0"));
    expect(await stage.installed()).toEqual(roles);
  });
});

/** A computer that says it is another one. */
async function pretending(system: string, machine: string): Promise<string> {
  const bin = join(stage.prefix, "tools");
  await mkdir(bin);
  const uname = `#!/bin/sh\ncase $1 in -s) echo ${system} ;; *) echo ${machine} ;; esac\n`;
  await writeFile(join(bin, "uname"), uname, { mode: 0o755 });
  return `${bin}:${process.env["PATH"] ?? ""}`;
}

test("a Mac gets what is for a Mac, without fly-local", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"), ["linux-x64", "darwin-arm64"]);
  stage.host.asked.length = 0;
  const { code } = await stage.install([], { env: { PATH: await pretending("Darwin", "arm64") } });
  expect(code).toBe(0);
  expect(stage.host.asked.at(-1)).toBe("/download/v0.2.0/fly-vault-0.2.0-darwin-arm64.tar.gz");
  expect(await stage.installed()).toEqual(["fly-vault", "fly-vault-admin", "vault-proxy"]);
});

test.each([
  ["FreeBSD", "amd64", "not made for this system"],
  ["Linux", "riscv64", "not made for this processor"],
])("%s on %s is told, and nothing is asked", async (system, machine, words) => {
  stage.host.asked.length = 0;
  const { code, err } = await stage.install([], {
    env: { PATH: await pretending(system, machine) },
  });
  expect(err).toContain(words);
  expect({ code, asked: stage.host.asked }).toEqual({ code: 1, asked: [] });
});

type Damage = (stem: string) => void | Promise<void>;
const archiveOf = (stem: string) => `${stem}/fly-vault-0.2.0-linux-x64.tar.gz`;
const damages: readonly (readonly [string, RegExp, Damage])[] = [
  [
    "an archive with another checksum",
    /is not what the release says/,
    (stem) => {
      const bytes = Buffer.from(stage.host.files.get(archiveOf(stem)) as Uint8Array);
      bytes[100] = (bytes[100] ?? 0) ^ 1;
      stage.host.files.set(archiveOf(stem), bytes);
    },
  ],
  [
    "an archive cut short",
    /is not what the release says/,
    (stem) => {
      stage.host.files.set(
        archiveOf(stem),
        (stage.host.files.get(archiveOf(stem)) as Uint8Array).slice(0, 50),
      );
    },
  ],
  [
    "an archive that is not there",
    /could not be fetched/,
    (stem) => {
      stage.host.files.delete(archiveOf(stem));
    },
  ],
  [
    "a list without a signature",
    /could not be fetched/,
    (stem) => {
      stage.host.files.delete(`${stem}/SHA256SUMS.sig`);
    },
  ],
  [
    "a list that was changed",
    /not signed by the right key/,
    (stem) => {
      stage.host.files.set(
        `${stem}/SHA256SUMS`,
        `${String(stage.host.files.get(`${stem}/SHA256SUMS`))}\n`,
      );
    },
  ],
  [
    "a list that is endless",
    /longer than 65536|could not be fetched/,
    (stem) => {
      stage.host.files.set(`${stem}/SHA256SUMS`, "x".repeat(100_000));
    },
  ],
  [
    "nothing for this system",
    /has nothing for linux-x64/,
    async () => stage.host.publish("0.2.0", program("0.2.0"), ["darwin-x64"]),
  ],
  [
    "a program that does not run",
    /does not run on this computer/,
    async () => stage.host.publish("0.2.0", "#!/bin/sh\nexit 1\n"),
  ],
  ["nothing at all", /could not be fetched/, () => stage.host.files.clear()],
];

test.each(damages)("%s: what was there stays, and nothing else is", async (_, words, damage) => {
  await stage.host.publish("0.1.0", program("0.1.0"));
  expect((await stage.install([])).code).toBe(0);
  await stage.host.publish("0.2.0", program("0.2.0"));
  await damage("/download/v0.2.0");
  const { code, err } = await stage.install([]);
  expect(err).toMatch(words);
  expect(err).toMatch(/^ {2}fix: {3}\S/m);
  expect(code).toBe(1);
  expect(await stage.installed()).toEqual(roles);
  expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program("0.1.0"));
});

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "%s while the program is tried: what was there stays, and nothing else is",
  async (signal) => {
    await stage.host.publish("0.1.0", program("0.1.0"));
    expect((await stage.install([])).code).toBe(0);
    const tried = join(stage.prefix, "tried");
    await stage.host.publish("0.2.0", `#!/bin/sh\ntouch ${tried}\nexec sleep 60\n`);
    const child = Bun.spawn(["dash", script, "--prefix", stage.prefix], {
      env: { PATH: process.env["PATH"] ?? "", TMPDIR: stage.scratch, ...stage.host.env },
      stdin: "ignore",
      stderr: "ignore",
      // As a terminal does it, all of its group gets the signal.
      detached: true,
    });
    while (!(await Bun.file(tried).exists())) await Bun.sleep(5);
    process.kill(-child.pid, signal);
    expect(await child.exited).not.toBe(0);
    expect(await stage.installed()).toEqual(roles);
    expect(await readdir(stage.scratch)).toEqual([]);
    expect(await readFile(join(stage.prefix, "bin/fly-vault"), "utf8")).toBe(program("0.1.0"));
  },
);

test("a release of another version than asked for is refused", async () => {
  await stage.host.publish("0.1.0", program("0.1.0"));
  for (const name of ["SHA256SUMS", "SHA256SUMS.sig"])
    stage.host.files.set(
      `/download/v0.3.0/${name}`,
      stage.host.files.get(`/download/v0.1.0/${name}`) ?? "",
    );
  const { err } = await stage.install(["--version", "0.3.0"]);
  expect(err).toContain("what is there as 0.3.0 is another version");
  expect(await stage.installed()).toEqual([]);
});

test("a folder that may not be written is told", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  await Promise.all(
    [stage.prefix, stage.scratch].map(async (path) =>
      chmod(path, path === stage.scratch ? 0o777 : 0o755),
    ),
  );
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "dash"];
  // The tree may lie where nobody else can read.
  const file = join(stage.prefix, "install.sh");
  await copyFile(script, file);
  const { code, err } = await stage.install([], { shell: nobody, file });
  expect(err).toContain("may not write");
  expect(code).toBe(1);
});

test.each(["--frob", "--prefix", "--version=../x"])("%s is a mistake", async (word) => {
  const { code, err } = await stage.install([word]);
  expect(err).toContain("usage: install.sh");
  expect(code).toBe(2);
});

test("over http nothing is fetched from elsewhere", async () => {
  const { err } = await stage.install([], {
    env: { FLY_VAULT_RELEASES: "http://releases.example" },
  });
  expect(err).toContain("over https alone");
});

test("a script that is cut short at any line does nothing", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  stage.host.asked.length = 0;
  const lines = (await readFile(script, "utf8")).trimEnd().split("\n");
  const cut = join(stage.host.folder, "cut.sh");
  for (let count = 1; count < lines.length; count += 10) {
    await writeFile(cut, lines.slice(0, count).join("\n"));
    Bun.spawnSync(["dash", cut, "--prefix", stage.prefix], {
      env: { PATH: "/usr/bin:/bin", ...stage.host.env },
    });
  }
  expect({ asked: stage.host.asked, installed: await stage.installed() }).toEqual({
    asked: [],
    installed: [],
  });
});

test("a script whose last line is cut short at any byte does nothing", async () => {
  await stage.host.publish("0.2.0", program("0.2.0"));
  stage.host.asked.length = 0;
  const text = (await readFile(script, "utf8")).trimEnd();
  await Promise.all([chmod(stage.prefix, 0o777), chmod(stage.scratch, 0o777)]);
  // Without its words it would install into the home folder, or as root into /usr/local: not here.
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  for (let length = text.lastIndexOf("\n"); length < text.length; length += 1) {
    const { exitCode } = Bun.spawnSync([...nobody, "dash", "-s", "--", "--prefix", stage.prefix], {
      stdin: Buffer.from(text.slice(0, length)),
      env: { PATH: "/usr/bin:/bin", HOME: stage.prefix, TMPDIR: stage.scratch, ...stage.host.env },
    });
    expect([0, 2]).toContain(exitCode);
  }
  expect({ asked: stage.host.asked, left: await readdir(stage.prefix) }).toEqual({
    asked: [],
    left: [],
  });
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
