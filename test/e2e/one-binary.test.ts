import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programPath, run, type ProgramName } from "../support/program.ts";

const names: ProgramName[] = ["fly-vault", "fly-vault-admin", "init", "vault-proxy", "fly-local"];
const words: Partial<Record<ProgramName, string>> = {
  "fly-vault-admin": "admin",
  init: "init",
  "vault-proxy": "proxy",
  "fly-local": "local",
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fly-vault-hostile-"));
  await writeFile(join(folder, ".env"), "FLY_VAULT_CONFIG=/nonexistent/from-dotenv\nHOSTILE=1\n");
  await writeFile(join(folder, "bunfig.toml"), 'preload = ["./hostile.ts"]\n');
  await writeFile(join(folder, "hostile.ts"), 'process.stdout.write("HOSTILE PRELOAD RAN\\n");\n');
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe("one binary, from a folder with a hostile .env and bunfig.toml", () => {
  test.each(names)("%s --version prints its name and the version", async (name) => {
    const version = (await packageVersion()).replaceAll(".", "\\.");
    const result = await run(name, ["--version"], { cwd: folder });
    expect(result.stderr).toBe("");
    expect(result.text).toMatch(new RegExp(`^${name} ${version}\\b`));
    expect(result.exitCode).toBe(0);
  });

  test.each(names)("%s --help goes to stdout and names its usage", async (name) => {
    const result = await run(name, ["--help"], { cwd: folder });
    expect(result.stderr).toBe("");
    expect(result.text).toContain("USAGE");
    expect(result.text).toContain(name);
    expect(result.text).not.toContain("HOSTILE");
    expect(result.exitCode).toBe(0);
  });

  test.each(names.filter((name) => words[name] !== undefined))(
    "the first word reaches %s as well as its name does",
    async (name) => {
      const byName = await run(name, ["--help"], { cwd: folder });
      const byWord = await run("fly-vault", [words[name] ?? "", "--help"], { cwd: folder });
      expect(byWord.text).toBe(byName.text);
      expect(byWord.exitCode).toBe(0);
    },
  );

  test.each(names)("%s refuses an unknown flag on stderr with exit code 2", async (name) => {
    const result = await run(name, ["--no-such-flag"], { cwd: folder });
    expect(result.text).toBe("");
    expect(result.stderr).toContain("--no-such-flag");
    expect(result.exitCode).toBe(2);
  });

  test("the .env of the current folder is not read", async () => {
    const home = join(folder, "home");
    const result = await run("fly-vault", ["exec", "dev", "--", "true"], {
      cwd: folder,
      env: { HOME: home },
    });
    expect(result.stderr).not.toContain("from-dotenv");
    expect(result.stderr).toContain(home);
    expect(result.exitCode).toBe(2);
  });

  test("the program is one file and symlinks to it", async () => {
    const inodes = new Set<number>();
    for (const name of names) inodes.add((await Bun.file(programPath(name)).stat()).ino);
    expect(inodes.size).toBe(1);
  });
});

async function packageVersion(): Promise<string> {
  const text = await readFile(join(import.meta.dir, "../../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
