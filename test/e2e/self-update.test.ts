import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, cp, mkdir, readdir, readFile, readlink, symlink } from "node:fs/promises";
import { join } from "node:path";
import { compileBinary } from "../../build/binary.ts";
import { programEnv, programPath } from "../support/program.ts";
import { ReleaseHost } from "../support/release-host.ts";

let host: ReleaseHost;
let bin: string;
const next = "99.0.0";

beforeAll(async () => {
  host = await ReleaseHost.open();
  bin = join(host.folder, "bin");
  await mkdir(bin);
  await cp(programPath("fly-vault"), join(bin, "fly-vault"));
  await symlink("fly-vault", join(bin, "fly-vault-admin"));
  await compileBinary(join(host.folder, "fly-vault"), { version: next });
  await host.publish(next, await readFile(join(host.folder, "fly-vault")), ["linux-x64"]);
}, 60_000);
afterAll(async () => host.close());

async function run(argv: readonly string[]) {
  const child = Bun.spawn([...argv], {
    cwd: "/",
    env: programEnv({ HOME: host.folder, ...host.env }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, code };
}

test("a user who may not write there is told before anything is fetched", async () => {
  await chmod(host.folder, 0o755);
  host.asked.length = 0;
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { code, err } = await run([...nobody, join(bin, "fly-vault"), "self-update"]);
  expect({ code, asked: host.asked }).toEqual({ code: 1, asked: [] });
  expect(err).toContain(`cause: this user may not write in "${bin}"`);
  expect(err).toContain("code:  FV-UPD-006");
  expect(err).toContain(`fix:   sudo '${bin}/fly-vault' self-update`);
});

test("the compiled program replaces itself through a link, and the links stay", async () => {
  await symlink(join(bin, "fly-vault"), join(host.folder, "shortcut"));
  const { out, code } = await run([join(host.folder, "shortcut"), "self-update", "--json"]);
  const { data } = JSON.parse(out);
  expect(data).toMatchObject({ to: next, changed: true, path: join(bin, "fly-vault") });
  expect(code).toBe(0);
  expect((await run([join(bin, "fly-vault-admin"), "--version"])).out).toBe(
    `fly-vault-admin ${next}\n`,
  );
  expect(await readlink(join(bin, "fly-vault-admin"))).toBe("fly-vault");
  expect((await readdir(bin)).toSorted()).toEqual(["fly-vault", "fly-vault-admin"]);
  const again = await run([join(bin, "fly-vault"), "self-update"]);
  expect(again).toEqual({ code: 0, out: "", err: `fly-vault ${next} is here already\n` });
});
