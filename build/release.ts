import { resolve } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { makeRelease } from "./release/make-release.ts";

/**
 * `make release`: all files of a release in dist/release, from the commit that is checked out. docs/release.md
 * says what they are. FLY_VAULT_RELEASE_KEY_FILE names the private key that signs.
 */
const root = resolve(import.meta.dir, "..");
const { env } = process;

const changed = git("status", "--porcelain", "--untracked-files=no");
if (changed !== "") {
  console.error(
    `error: a release is made of a commit, and these files differ from it:\n${changed}`,
  );
  process.exit(1);
}
try {
  await makeRelease({
    version: packageJson.version,
    revision: git("rev-parse", "HEAD"),
    epochSeconds: Number(git("log", "-1", "--format=%ct")),
    repository: "https://github.com/fly-vault/fly-vault",
    builder: builder(),
    keyFile: env["FLY_VAULT_RELEASE_KEY_FILE"] || undefined,
    nextKey: env["FLY_VAULT_RELEASE_NEXT_KEY"] || undefined,
    folder: resolve(root, "dist/release"),
    say: (line) => console.log(line),
  });
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}

/** The workflow that runs this, where one does. */
function builder(): string {
  const { GITHUB_SERVER_URL: server, GITHUB_WORKFLOW_REF: workflow } = env;
  if (server !== undefined && workflow !== undefined) return `${server}/${workflow}`;
  return "https://github.com/fly-vault/fly-vault/blob/main/docs/release.md#by-hand";
}

function git(...words: readonly string[]): string {
  const { stdout, exitCode } = Bun.spawnSync(["git", ...words], { cwd: root });
  if (exitCode !== 0) throw new Error(`git ${words.join(" ")} failed`);
  return stdout.toString().trim();
}
