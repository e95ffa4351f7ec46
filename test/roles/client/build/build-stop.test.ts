import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../../../src/roles/client/main.ts";
import { type MemoryContext, memoryContext } from "../../../support/memory-context.ts";

/** Engines that do nothing but say what they were asked; the image is a folder with an endless file. */
let folder: string;
let env: Record<string, string>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-stop-"));
  for (const name of ["bin", "image", "context", "tmp"]) await mkdir(join(folder, name));
  await writeFile(join(folder, "context/Containerfile"), "FROM scratch\n");
  await writeFile(join(folder, "image/endless"), "");
  await truncate(join(folder, "image/endless"), 2 ** 40);
  const script = `#!/bin/sh
echo "$(basename "$0") $1" >>'${folder}/asked'
case $1 in
  build) [ -z "$FV_SLOW" ] || exec sleep 60; while [ "$1" != --iidfile ]; do shift; done; echo image >"$2" ;;
  from | create) echo container ;;
  mount) echo '${folder}/image' ;;
  export) exec tar -C '${folder}/image' -c . ;;
esac
`;
  for (const name of ["buildah", "docker"]) {
    await writeFile(join(folder, "bin", name), script);
    await chmod(join(folder, "bin", name), 0o755);
  }
  env = { PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`, HOME: folder };
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function until(is: () => Promise<boolean>): Promise<void> {
  while (!(await is())) await Bun.sleep(5);
}

const asked = async (): Promise<string> => readFile(join(folder, "asked"), "utf8").catch(() => "");
const left = async (): Promise<string[]> =>
  (await readdir(folder)).filter((name) => name.startsWith("out"));

async function stopped(words: readonly string[], when: () => Promise<boolean>): Promise<number> {
  const context: MemoryContext = memoryContext({ env });
  const running = main(["build", "-q", ...words], context);
  await until(when);
  context.stop("SIGINT");
  return running;
}

test.each([
  ["buildah", "from", "out.tar.zst"],
  ["buildah", "mount", "out.tar"],
  ["docker", "export", "out.tar"],
  ["docker", "export", "out.tar.gz"],
] as const)(
  "Ctrl-C in %s %s for %s leaves no container and no file",
  async (engine, step, output) => {
    const words = [join(folder, "context"), "--engine", engine, "-o", join(folder, output)];
    expect(await stopped(words, async () => (await asked()).includes(step))).toBe(130);
    expect(await left()).toEqual([]);
    expect(await asked()).toEndWith(`${engine} rm\n`);
  },
);

test("Ctrl-C in a step of a build ends the engine", async () => {
  env["FV_SLOW"] = "1";
  const words = [join(folder, "context"), "--engine", "buildah", "-o", join(folder, "out.tar")];
  const startedMs = performance.now();
  expect(await stopped(words, async () => (await asked()).includes("build"))).toBe(130);
  // Before it would have ended by itself.
  expect(performance.now() - startedMs).toBeLessThan(50_000);
});

test("Ctrl-C while a folder is packed leaves nothing", async () => {
  const words = ["--from", `dir:${folder}/image`, "-o", join(folder, "out.tar.zst")];
  expect(await stopped(words, async () => (await left()).length > 0)).toBe(130);
  expect(await left()).toEqual([]);
});
