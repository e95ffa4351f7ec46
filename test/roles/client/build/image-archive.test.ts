import { afterEach, beforeEach, expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";

/** buildah itself, with a storage of the test's own. */
let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-image-"));
  const storage = join(folder, "storage.conf");
  const place = (name: string): string => JSON.stringify(join(folder, name));
  await writeFile(
    storage,
    `[storage]\ndriver = "vfs"\ngraphroot = ${place("graph")}\nrunroot = ${place("run")}\n`,
  );
  env = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    CONTAINERS_STORAGE_CONF: storage,
    BUILDAH_ISOLATION: "chroot",
    FLY_VAULT_TOKEN: "not-for-a-step-of-a-build",
  };
  await mkdir(join(folder, "context/root/bin"), { recursive: true });
  await copyFile("/bin/busybox", join(folder, "context/root/bin/busybox"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function recipe(...steps: readonly string[]): Promise<void> {
  const path = join(folder, "context/Containerfile");
  await writeFile(path, ["FROM scratch", "COPY root /", ...steps, ""].join("\n"));
  for (const name of ["", "/bin", "/bin/busybox"])
    await utimes(join(folder, "context/root", name), 1e9, 1e9);
  await utimes(path, 1.1e9, 1.1e9);
}

async function build(...words: string[]) {
  const context = memoryContext({ env });
  const code = await main(["build", "-q", join(folder, "context"), ...words], context);
  return { code, out: context.out(), err: context.err() };
}

function tar(...argv: readonly string[]): string {
  const plain = { PATH: "/usr/bin:/bin", TZ: "UTC" };
  return Bun.spawnSync(["tar", ...argv], { env: plain }).stdout.toString();
}

test("a Containerfile becomes the same archive each time, with what its steps made", async () => {
  await recipe(
    'RUN ["/bin/busybox", "sh", "-c", "echo $FLY_VAULT_TOKEN > /made; /bin/busybox chmod 4755 /bin/busybox"]',
  );
  // Beside what it is made from, where it comes to lie if nothing else is said.
  const [one, two] = [join(folder, "context/one.tar.zst"), join(folder, "context/two.tar.zst")];
  const first = await build("--engine", "buildah", "-o", one);
  expect(first).toMatchObject({ code: 0, err: "" });
  await Bun.sleep(1100);
  const bytes = await Bun.file(one).bytes();
  await rename(one, two);
  expect((await build("--engine", "buildah", "-o", two)).code).toBe(0);
  expect(Buffer.compare(bytes, await Bun.file(two).bytes())).toBe(0);
  expect(first.out).toBe(`${Bun.SHA256.hash(bytes, "hex")}  ${one}\n`);
  const listed = tar("tvf", two);
  expect(listed).toMatch(/^-rwsr-xr-x 0\/0 .* \.\/bin\/busybox$/m);
  // The newest time of what it is made from, not that of the build.
  expect(listed).toMatch(/2004-11-09 11:33 \.\/made$/m);
  expect(tar("xOf", two, "./made").trim()).toBe("");
  // No container is left behind.
  const left = Bun.spawnSync(["buildah", "containers", "--quiet"], { env }).stdout.toString();
  expect(left).toBe("");
}, 120_000);

test("a step that fails fails the build, and leaves nothing", async () => {
  await recipe('RUN ["/bin/busybox", "false"]');
  const { code, err } = await build("--engine", "buildah", "-o", join(folder, "x.tar"));
  expect(code).toBe(1);
  expect(err).toContain("FV-PROV-011");
  // Nothing stands above with -q.
  expect(err).toMatch(/cause: buildah ended with 1: .*\bexit status 1/);
  const context = join(folder, "context");
  expect(err).toContain(`buildah build --file ${context}/Containerfile ${context}\n`);
  expect((await readdir(folder)).filter((name) => name.startsWith("x.tar"))).toEqual([]);
}, 120_000);

test("without an engine it says what to install", async () => {
  await recipe();
  env["PATH"] = "/nonexistent";
  const { code, err } = await build("-o", join(folder, "x.tar"));
  expect(code).toBe(125);
  expect(err).toContain("no buildah, podman, docker in PATH");
  expect(err).toContain("apt install buildah");
});
