import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { completionScript } from "../../src/cli/completion-scripts.ts";

/** The shells themselves, with a configuration of two vaults. */
let folder: string;
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-completion-"));
  const program = join(folder, "fly-vault");
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  await chmod(program, 0o755);
  await writeFile(join(folder, "config.toml"), table("my-dev") + table("other"), { mode: 0o600 });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

function table(name: string): string {
  return `[vault.${name}]\naddress = "127.0.0.1:9"\norg = "a"\napp = "b"\n`;
}

async function shell(argv: readonly string[], script: string): Promise<string[]> {
  const child = Bun.spawn([...argv, script], {
    cwd: folder,
    env: { PATH: `${folder}:${process.env["PATH"]}`, FLY_VAULT_HOME: folder, HOME: folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(err).toBe("");
  return out.split("\n").filter((line) => line !== "");
}

async function bash(...words: string[]): Promise<string[]> {
  const typed = words.map((word) => `'${word}'`).join(" ");
  const script = `${completionScript("bash", "fly-vault")}
    COMP_WORDS=(fly-vault ${typed}) COMP_CWORD=${words.length}
    compopt() { echo "compopt $*"; }
    _fly_vault; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return shell(["bash", "--norc", "-c"], script);
}

async function zsh(...words: string[]): Promise<string[]> {
  const typed = words.map((word) => `'${word}'`).join(" ");
  const script = `compdef() { :; }
    _describe() { shift; print -rl -- "\${(@P)1}"; }
    _files() { print files; }
    ${completionScript("zsh", "fly-vault")}
    words=(fly-vault ${typed}) CURRENT=${words.length + 1}
    _fly_vault`;
  return shell(["zsh", "-f", "-c"], script);
}

async function fish(line: string): Promise<string[]> {
  const script = `${completionScript("fish", "fly-vault")}\ncomplete -C '${line}'`;
  return shell(["fish", "--no-config", "-c"], script);
}

test("bash", async () => {
  expect(await bash("spe")).toEqual(["speedtest"]);
  expect(await bash("exec", "")).toEqual(["my-dev", "other"]);
  expect(await bash("vault", "l")).toEqual(["ls"]);
  expect(await bash("bundle", "--output", "")).toEqual(["compopt -o default"]);
  expect(await bash("explain", "FV-CFG-00")).toContain("FV-CFG-001");
});

test("zsh", async () => {
  const [found = ""] = await zsh("spe");
  expect(found).toStartWith("speedtest:Measure how fast");
  expect(await zsh("exec", "m")).toEqual(["my-dev:"]);
  expect(await zsh("bundle", "--output", "")).toEqual(["files"]);
});

test("fish", async () => {
  const [found = ""] = await fish("fly-vault spe");
  expect(found).toStartWith("speedtest\tMeasure how fast");
  expect(await fish("fly-vault exec o")).toEqual(["other"]);
  expect(await fish("fly-vault bundle --output con")).toEqual(["config.toml"]);
});
