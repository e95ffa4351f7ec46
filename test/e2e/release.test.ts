import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { childOutcome } from "../../build/child-outcome.ts";
import { makeRelease } from "../../build/release/make-release.ts";
import { platforms } from "../../build/release/platforms.ts";
import { LinkStage } from "../support/link-stage.ts";
import { programEnv, programPath } from "../support/program.ts";
import { ReleaseHost } from "../support/release-host.ts";

/** A release as `make release` makes it, published on this computer, installed and updated to. */

let host: ReleaseHost;
let release: string;
let stage: LinkStage;
const next = "99.0.0";
const said: string[] = [];

beforeAll(async () => {
  host = await ReleaseHost.open();
  stage = await LinkStage.open();
  release = join(host.folder, "release");
  await makeRelease({
    version: next,
    revision: "0123456789abcdef0123456789abcdef01234567",
    epochSeconds: 1_700_000_000,
    repository: "https://example.com/fly-vault",
    builder: "https://example.com/builder",
    keyFile: join(host.folder, "key"),
    // For the others npm would have to be asked.
    platforms: platforms.filter(({ system }) => system === "linux"),
    folder: release,
    say: (line) => said.push(line),
  });
  await host.publishFolder(next, release);
}, 120_000);
afterAll(async () => {
  await stage.close();
  await host.close();
});

async function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return childOutcome(argv, {
    cwd: release,
    env: programEnv({ HOME: host.folder, FLY_VAULT_RELEASES: host.base, ...env }),
  });
}

const json = async (name: string) => JSON.parse(await readFile(join(release, name), "utf8"));

test("a release names every platform, with what is missing for it", () => {
  for (const platform of ["linux-x64", "linux-arm64"])
    expect(said.filter((line) => line.startsWith(`${platform} `))).toHaveLength(1);
  expect(said.find((line) => line.startsWith("linux-arm64"))).toContain("no native package");
  expect(said.join("\n")).toContain(`signed by ${host.key.replace(" releases", "")}`);
});

test("all its files are in SHA256SUMS, which sha256sum and ssh-keygen check", async () => {
  const names = (await readdir(release)).filter((name) => !name.startsWith("SHA256SUMS"));
  const checked = await run(["sha256sum", "--strict", "-c", "SHA256SUMS"]);
  expect(checked.code).toBe(0);
  expect(checked.out.trim().split("\n").toSorted()).toEqual(
    names.map((name) => `${name}: OK`).toSorted(),
  );
  await writeFile(join(host.folder, "signers"), `fly-vault ${host.key}\n`);
  const verify = `ssh-keygen -Y verify -f ${host.folder}/signers -I fly-vault -n fly-vault-release -s SHA256SUMS.sig < SHA256SUMS`;
  expect((await run(["sh", "-c", verify])).code).toBe(0);
});

test("provenance and bill of materials are about the very archive and executable", async () => {
  const stem = `fly-vault-${next}-linux-x64`;
  const statement = await json(`fly-vault-${next}.intoto.json`);
  const [archive, executable] = statement.subject;
  const digest = new Bun.CryptoHasher("sha256");
  digest.update(await readFile(join(release, `${stem}.tar.gz`)));
  expect(archive).toEqual({ name: `${stem}.tar.gz`, digest: { sha256: digest.digest("hex") } });
  const { out } = await run(["sh", "-c", `tar -xzOf ${stem}.tar.gz ${stem}/fly-vault | sha256sum`]);
  expect(executable.digest.sha256).toBe(out.split(" ")[0]);
  const { packages } = await json(`${stem}.spdx.json`);
  const names: string[] = packages.map(({ name }: { name: string }) => name);
  expect(names).toEqual(
    expect.arrayContaining(["valibot", "ssh2", "@oven/bun-linux-x64", "quiche", "boring"]),
  );
  expect(names).not.toContain("typescript");
  expect(packages[0].checksums[0].checksumValue).toBe(executable.digest.sha256);
});

test("install.sh of the release installs it, by the key that is written in it", async () => {
  const { code, err } = await run(["sh", "install.sh", "--prefix", join(host.folder, "prefix")]);
  expect(err).toContain(`fly-vault ${next} is installed in`);
  expect(err).not.toContain("note:");
  expect(code).toBe(0);
  const program = join(host.folder, "prefix/bin/fly-vault");
  const check = await run([program, "version", "--check", "--json"]);
  expect(JSON.parse(check.out).data).toMatchObject({ newest: next, signature: "checked" });
});

async function installedBefore(): Promise<string> {
  const bin = join(host.folder, "bin");
  await mkdir(bin);
  await copyFile(programPath("fly-vault"), join(bin, "fly-vault"));
  await symlink("fly-vault", join(bin, "fly-vault-admin"));
  await symlink(join(bin, "fly-vault"), join(host.folder, "shortcut"));
  return bin;
}

test("the compiled program replaces itself through a link, and the links stay", async () => {
  const bin = await installedBefore();
  await chmod(host.folder, 0o755);
  host.asked.length = 0;
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const refused = await run([...nobody, join(bin, "fly-vault"), "self-update"], host.env);
  expect({ code: refused.code, asked: host.asked }).toEqual({ code: 1, asked: [] });
  expect(refused.err).toContain(`cause: this user may not write in "${bin}"`);
  expect(refused.err).toContain(`fix:   sudo '${bin}/fly-vault' self-update`);

  expect((await stage.exec(["true"])).code).toBe(0);
  const { out, code } = await run([join(host.folder, "shortcut"), "self-update", "--json"], {
    ...host.env,
    XDG_RUNTIME_DIR: stage.runtime,
  });
  const { data } = JSON.parse(out);
  const path = join(bin, "fly-vault");
  expect(data).toMatchObject({ to: next, changed: true, path, old_links: 1 });
  expect(code).toBe(0);
  expect((await run([join(bin, "fly-vault-admin"), "--version"])).out).toBe(
    `fly-vault-admin ${next}\n`,
  );
  expect(await readlink(join(bin, "fly-vault-admin"))).toBe("fly-vault");
  const names: string[] = await readdir(bin);
  expect(names.toSorted()).toEqual(["fly-vault", "fly-vault-admin"]);
  // From here on by the key that is built in.
  const again = await run([join(bin, "fly-vault"), "self-update"]);
  expect(again).toEqual({ code: 0, out: "", err: `fly-vault ${next} is here already\n` });
});
