import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  link,
  utimes,
  writeFile,
  chmod,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packFolder } from "../../../../src/roles/client/build/pack-folder.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext } from "../../../support/memory-context.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-build-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function tree(name: string, order: readonly string[]): Promise<string> {
  const root = join(folder, name);
  await mkdir(join(root, "etc"), { recursive: true });
  for (const file of order) await writeFile(join(root, file), `content of ${file}`);
  await writeFile(join(root, "large"), new Uint8Array(3_000_001).fill(7));
  await link(join(root, "large"), join(root, "zlink"));
  await symlink("etc/b", join(root, "link"));
  await chmod(join(root, "a"), 0o4755);
  for (const path of [...order, "large", "etc"]) await utimes(join(root, path), 1e9, 1e9);
  return root;
}

async function build(words: string[], env: Record<string, string> = {}) {
  const context = memoryContext({ env });
  const code = await main(["build", ...words], context);
  return { code, out: context.out(), err: context.err() };
}

function tar(...words: string[]): string {
  return Bun.spawnSync(["tar", ...words], {
    env: { PATH: "/usr/bin:/bin", TZ: "UTC" },
  }).stdout.toString();
}

test.each(["tar", "tar.gz", "tar.zst"])(
  "the same folder gives the same %s, which tar reads",
  async (kind) => {
    const env = { SOURCE_DATE_EPOCH: "1000000000" };
    const first = await tree("first", ["a", "etc/b", "etc/ä", "etc/B"]);
    const second = await tree("second", ["etc/B", "etc/ä", "etc/b", "a"]);
    const [one, two] = [join(folder, `one.${kind}`), join(folder, `two.${kind}`)];
    const built = await build(["--from", `dir:${first}`, "--output", one], env);
    expect(built.code).toBe(0);
    expect((await build(["--from", `dir:${second}`, "-o", two], env)).code).toBe(0);
    const bytes = await Bun.file(one).bytes();
    expect(Bun.hash(await Bun.file(two).bytes())).toBe(Bun.hash(bytes));
    const digest = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    expect(built.out).toBe(`${digest}  ${one}\n`);
    const names = ["a", "etc", "etc/B", "etc/b", "etc/ä", "large", "link", "zlink"];
    expect(tar("tf", one, "--quoting-style=literal").trimEnd().split("\n")).toEqual(names);
    const listed = tar("tvf", one);
    expect(listed).toContain("link -> etc/b");
    expect(listed).toContain("zlink link to large");
    expect(listed).toContain("-rwsr-xr-x");
    expect(listed).toContain("2001-09-09 01:46");
  },
);

test.each([
  [["/nonexistent", "-o", "x.tar"], 3, "there is no folder"],
  [["/proc/self/fdinfo", "-o", "x.tar"], 3, "there is no Containerfile"],
  [["/", "--file", "/nonexistent", "-o", "x.tar"], 3, "looked for /nonexistent"],
  [["/", "--from", "dir:/", "-o", "x.tar"], 2, "--from takes no DIR"],
  [["--engine", "make", "-o", "x.tar"], 2, "one of buildah, podman, docker"],
  [["--from", "/tmp", "-o", "x.tar"], 2, "--from must be dir:PATH"],
  [["--from", "dir:/tmp", "-o", "x.zip"], 2, "must end in"],
  [["--from", "dir:/nonexistent", "-o", "x.tar"], 3, "there is no folder"],
  [["--from", "dir:/etc", "-o", "/nonexistent/x.tar"], 1, 'cannot write "/nonexistent/x.tar"'],
])("%j is refused", async (words, code, message) => {
  const result = await build(words);
  expect(result.code).toBe(code);
  expect(result.err).toContain(message);
});

test("a folder that changes while it is packed is named, and leads nowhere else", async () => {
  const root = await tree("tree", ["a", "etc/b", "m"]);
  const secret = join(folder, "secret");
  await writeFile(secret, "secret");
  const packing = packFolder(root, { ownedByRoot: true, onSkipped: () => undefined });
  await packing.next();
  // All of "large" is still before it.
  await rm(join(root, "m"));
  await symlink(secret, join(root, "m"));
  const before = await lstat(join(root, "m"));
  let text = "";
  const rest = async (): Promise<void> => {
    for await (const bytes of packing) text += new TextDecoder().decode(bytes);
  };
  await rest().catch((error: unknown) => expect(String(error)).toContain("changed while"));
  expect(before.isSymbolicLink()).toBe(true);
  expect(text).not.toContain("\0secret\0");
});

test("an archive in the folder that is packed is not in itself, the second time neither", async () => {
  const root = await tree("tree", ["a", "etc/b"]);
  const output = join(root, "rootfs.tar");
  await symlink(root, join(folder, "elsewhere"));
  const through = join(folder, "elsewhere/rootfs.tar");
  const env = { SOURCE_DATE_EPOCH: "1000000000" };
  await build(["--from", `dir:${root}`, "-o", output], env);
  const first = await Bun.file(output).bytes();
  await build(["--from", `dir:${root}`, "-o", through], env);
  expect(Buffer.compare(await Bun.file(output).bytes(), first)).toBe(0);
  expect(tar("tf", output)).toContain("etc/b\n");
  expect(tar("tf", output)).not.toContain("rootfs.tar");
});

test("names that are no text are refused, in links as well", async () => {
  const root = await tree("tree", ["a", "etc/b"]);
  const odd = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff])]);
  const pack = async () => build(["--from", `dir:${root}`, "-o", join(folder, "out.tar")]);
  await writeFile(odd, "odd");
  const name = await pack();
  expect(name.code).toBe(3);
  expect(name.err).toContain(`"${root}/\uFFFD" is not UTF-8\n`);
  await rm(odd);
  await writeFile(join(root, "\uFFFD"), "only looks odd");
  expect((await pack()).code).toBe(0);
  await symlink(odd, join(root, "z"));
  const target = await pack();
  expect(target.code).toBe(3);
  expect(target.err).toContain(`the target of the link "${root}/z" is not UTF-8\n`);
});

test("what cannot be packed is named, and a failure leaves no half archive", async () => {
  const root = await tree("tree", ["a", "etc/b"]);
  Bun.spawnSync(["mknod", join(root, "null"), "c", "1", "3"]);
  const output = join(folder, "out.tar");
  const { code, err } = await build(["--from", `dir:${root}`, "-o", output]);
  expect(code).toBe(0);
  if ((await readdir(root)).includes("null")) expect(err).toContain("left out null");
  const broken = await build(["--from", `dir:${root}`, "-o", output], {
    SOURCE_DATE_EPOCH: "soon",
  });
  expect(broken.code).toBe(2);
  expect((await readdir(folder)).toSorted()).toEqual(["out.tar", "tree"]);
});
