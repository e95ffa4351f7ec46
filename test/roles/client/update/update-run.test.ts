import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { version } from "../../../../src/cli/program.ts";
import { releaseSource } from "../../../../src/roles/client/update/release-source.ts";
import { replaceable } from "../../../../src/roles/client/update/program-place.ts";
import { updateProgram } from "../../../../src/roles/client/update/update-run.ts";
import { memoryContext } from "../../../support/memory-context.ts";
import { rejection } from "../../../support/rejection.ts";
import { makeKey, ReleaseHost, sign } from "../../../support/release-host.ts";
import { say } from "../vault/vault-stage.ts";

const platform = `${process.platform}-${process.arch}`;
let host: ReleaseHost;
let path: string;

beforeAll(async () => {
  host = await ReleaseHost.open();
  path = join(host.folder, "bin/fly-vault");
  await mkdir(join(host.folder, "bin"));
});
beforeEach(async () => {
  host.files.clear();
  host.newest = undefined;
  await writeFile(path, program("0.1.0"));
  await chmod(path, 0o750);
});
afterAll(async () => host.close());

/** What answers as fly-vault does. */
const program = (of: string) => `#!/bin/sh\necho "fly-vault ${of}"\n`;

async function update(wish: { to?: string; env?: Record<string, string>; signal?: AbortSignal }) {
  const context = memoryContext({ env: { FLY_VAULT_HOME: host.folder, ...host.env } });
  return updateProgram(
    {
      path,
      from: "0.1.0",
      to: wish.to,
      platform,
      source: releaseSource({ ...host.env, ...wish.env }),
      quiet: true,
      signal: wish.signal ?? new AbortController().signal,
    },
    context,
  );
}

async function mustBeUntouched(): Promise<void> {
  expect(await readFile(path, "utf8")).toBe(program("0.1.0"));
  expect(await readdir(join(host.folder, "bin"))).toEqual(["fly-vault"]);
}

test("the newest release takes the program's place, with its mode", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  expect(await update({})).toEqual({ to: "0.2.0", changed: true, oldLinks: 0 });
  expect(await readFile(path, "utf8")).toBe(program("0.2.0"));
  expect((await stat(path)).mode & 0o7777).toBe(0o750);
  expect(await readdir(join(host.folder, "bin"))).toEqual(["fly-vault"]);
});

test("the same version is nothing to do, and nothing is fetched for it", async () => {
  await host.publish("0.1.0", program("0.1.0"));
  host.asked.length = 0;
  expect(await update({})).toEqual({ to: "0.1.0", changed: false, oldLinks: 0 });
  expect(host.asked.some((name) => name.endsWith(".tar.gz"))).toBe(false);
});

test("an older one comes only when it is named", async () => {
  await host.publish("0.0.9", program("0.0.9"));
  expect(await rejection(update({}))).toMatchObject({ code: "FV-UPD-005" });
  await mustBeUntouched();
  expect(await update({ to: "0.0.9" })).toMatchObject({ to: "0.0.9", changed: true });
});

test("what was signed as one version does not pass for another", async () => {
  await host.publish("0.0.9", program("0.0.9"));
  for (const name of ["SHA256SUMS", "SHA256SUMS.sig"])
    host.files.set(`/download/v0.3.0/${name}`, host.files.get(`/download/v0.0.9/${name}`) ?? "");
  expect(await rejection(update({ to: "0.3.0" }))).toMatchObject({ code: "FV-UPD-003" });
  await mustBeUntouched();
});

const damages: readonly (readonly [string, string, (name: string) => Promise<void> | void])[] = [
  ["no signature", "FV-UPD-002", (stem) => void host.files.delete(`${stem}/SHA256SUMS.sig`)],
  [
    "a signature of something else",
    "FV-UPD-002",
    (stem) => {
      const sums = String(host.files.get(`${stem}/SHA256SUMS`));
      host.files.set(
        `${stem}/SHA256SUMS`,
        sums.replace(/[0-9a-f]/, (digit) => (digit === "0" ? "1" : "0")),
      );
    },
  ],
  [
    "an archive with one bit turned",
    "FV-UPD-003",
    (stem) => {
      const name = `${stem}/fly-vault-0.2.0-${platform}.tar.gz`;
      const bytes = Buffer.from(host.files.get(name) as Uint8Array);
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      host.files.set(name, bytes);
    },
  ],
  [
    "an archive that is cut short",
    "FV-UPD-003",
    (stem) => {
      const name = `${stem}/fly-vault-0.2.0-${platform}.tar.gz`;
      host.files.set(name, (host.files.get(name) as Uint8Array).slice(0, -20));
    },
  ],
  [
    "an archive that is not there",
    "FV-UPD-004",
    (stem) => {
      host.files.delete(`${stem}/fly-vault-0.2.0-${platform}.tar.gz`);
    },
  ],
  [
    "nothing for this system",
    "FV-UPD-004",
    async () => host.publish("0.2.0", program("0.2.0"), ["linux-arm64"]),
  ],
  [
    "a program of another version",
    "FV-UPD-007",
    async () => host.publish("0.2.0", program("0.1.9")),
  ],
  ["a program that fails", "FV-UPD-007", async () => host.publish("0.2.0", "#!/bin/sh\nexit 3\n")],
  [
    "a program for another processor",
    "FV-UPD-007",
    async () => host.publish("0.2.0", Buffer.from("\u007fELF nothing")),
  ],
  ["nothing at all", "FV-UPD-004", () => host.files.clear()],
];

test.each(damages)("%s changes nothing", async (_, code, damage) => {
  await host.publish("0.2.0", program("0.2.0"));
  await damage("/download/v0.2.0");
  expect(await rejection(update({}))).toMatchObject({ code });
  await mustBeUntouched();
});

test("an archive that is no archive, or holds something else, is told", async () => {
  const name = `fly-vault-0.2.0-${platform}.tar.gz`;
  for (const archive of [Buffer.from("no gzip"), Bun.gzipSync(Buffer.alloc(1024))]) {
    const sums = `${createHash("sha256").update(archive).digest("hex")}  ${name}\n`;
    host.files.set(`/download/v0.2.0/${name}`, archive);
    host.files.set("/download/v0.2.0/SHA256SUMS", sums);
    host.files.set("/download/v0.2.0/SHA256SUMS.sig", await sign(join(host.folder, "key"), sums));
    host.newest = "0.2.0";
    expect(await rejection(update({}))).toMatchObject({ code: "FV-UPD-003" });
    await mustBeUntouched();
  }
});

test("without a key, and with one of somebody else, nothing is taken", async () => {
  await host.publish("0.2.0", program("0.2.0"));
  host.asked.length = 0;
  expect(await rejection(update({ env: { FLY_VAULT_RELEASE_KEY: "" } }))).toMatchObject({
    code: "FV-UPD-002",
  });
  expect(host.asked).toEqual([]);
  const stranger = await makeKey(join(host.folder, "stranger"));
  expect(await rejection(update({ env: { FLY_VAULT_RELEASE_KEY: stranger } }))).toMatchObject({
    code: "FV-UPD-002",
  });
  await mustBeUntouched();
});

test("Ctrl-C while the new program is tried leaves the old one", async () => {
  const tried = join(host.folder, "tried");
  await host.publish("0.2.0", `#!/bin/sh\ntouch ${tried}\nexec sleep 60\n`);
  const stop = new AbortController();
  const updating = rejection(update({ signal: stop.signal }));
  while (!(await Bun.file(tried).exists())) await Bun.sleep(5);
  stop.abort();
  expect((await updating).name).toBe("AbortError");
  await mustBeUntouched();
});

test("what a killed update left is removed once it is old", async () => {
  const old = join(host.folder, "bin/.fly-vault-update-old");
  const young = join(host.folder, "bin/.fly-vault-update-young");
  // install.sh works in a folder.
  const oldFolder = join(host.folder, "bin/.fly-vault-update-XyZ123");
  await writeFile(old, "half");
  await writeFile(young, "at work");
  await mkdir(oldFolder);
  await writeFile(join(oldFolder, "fly-vault"), "half");
  await Promise.all([old, oldFolder].map(async (each) => utimes(each, 0, 0)));
  await host.publish("0.2.0", program("0.2.0"));
  await update({});
  expect(await readdir(join(host.folder, "bin"))).toEqual([".fly-vault-update-young", "fly-vault"]);
  await Bun.file(young).delete();
});

test("replaceable looks behind links, and says no to what is Homebrew's or gone", async () => {
  const link = join(host.folder, "link");
  await symlink("bin/fly-vault", link);
  expect(await replaceable(link)).toBe(path);
  const cellar = join(host.folder, "Cellar/fly-vault/0.1.0/bin");
  await mkdir(cellar, { recursive: true });
  await writeFile(join(cellar, "fly-vault"), "");
  expect(await rejection(replaceable(join(cellar, "fly-vault")))).toMatchObject({
    code: "FV-UPD-006",
    fix: "brew upgrade fly-vault",
  });
  expect(await rejection(replaceable("/nonexistent/fly-vault"))).toMatchObject({
    code: "FV-UPD-006",
  });
});

const check = async (...words: string[]) => say(vault(), ["version", "--check", ...words]);
const vault = () => ({ env: { FLY_VAULT_HOME: host.folder, ...host.env }, folder: host.folder });

test("version prints the version, and asks nobody", async () => {
  host.asked.length = 0;
  expect(await say(vault(), ["version"])).toMatchObject({ code: 0, out: `fly-vault ${version}\n` });
  const { data } = JSON.parse((await say(vault(), ["version", "--json"])).out);
  expect(data).toMatchObject({ version, platform, newest: null, signature: null });
  expect(host.asked).toEqual([]);
});

test("version --check tells of a newer release, of none, and of one that is not for here", async () => {
  await host.publish("99.0.0", "x");
  expect((await check()).out).toBe(
    `fly-vault ${version}; 99.0.0 is there (fly-vault self-update)\n`,
  );
  const { data } = JSON.parse((await check("--json")).out);
  expect(data).toMatchObject({
    newest: "99.0.0",
    is_newest: false,
    has_build_for_platform: true,
    signature: "checked",
  });
  await host.publish("99.0.0", "x", ["windows-x64"]);
  expect((await check()).out).toContain(`99.0.0 is there, but not for ${platform}`);
  await host.publish(version, "x");
  expect((await check()).out).toBe(`fly-vault ${version}; the newest release is ${version}\n`);
});

test("version --check without a key says that it checked nothing; with one it insists", async () => {
  await host.publish("99.0.0", "x");
  host.files.delete("/download/v99.0.0/SHA256SUMS.sig");
  const keyless = { ...vault(), env: { ...vault().env, FLY_VAULT_RELEASE_KEY: "" } };
  const { code, err } = await say(keyless, ["version", "--check"]);
  expect({ code, err }).toEqual({
    code: 0,
    err: "the release's signature was not checked: no key is known\n",
  });
  expect((await say(vault(), ["version", "--check"])).code).toBe(5);
  host.newest = undefined;
  const nothing = await say(vault(), ["version", "--check"]);
  expect(nothing.code).toBe(3);
  expect(nothing.err).toContain("nothing is released there yet");
});

test("self-update from the source is refused, and a wrong version is a mistake", async () => {
  const refused = await say(vault(), ["self-update"]);
  expect(refused.code).toBe(1);
  expect(refused.err).toContain("runs from its source");
  expect((await say(vault(), ["self-update", "newest"])).code).toBe(2);
});
