import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { LinkStage } from "../../support/link-stage.ts";
import { run as runInside, whileRunning } from "./forward/forward-stage.ts";

let stage: LinkStage;
beforeAll(async () => {
  stage = await LinkStage.open();
});
afterEach(async () => {
  await stage.stop();
  stage.vault.forgetConnections();
  for (const session of stage.vault.sessions.values()) session.kill();
  stage.vault.sessions.clear();
  stage.vault.requests.length = 0;
});
afterAll(async () => {
  await stage.close();
});

async function words(...typed: readonly string[]): Promise<string[]> {
  const { exitCode, text, stderr } = await stage.run(["__complete", "--", ...typed]);
  expect([exitCode, stderr]).toEqual([0, ""]);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t")[0] ?? "");
}

/** On a machine with too much to do 50 ms may pass without a turn; then there are no names, as it should be. */
async function sessionWords(...typed: readonly string[]): Promise<string[]> {
  for (const endMs = performance.now() + 20_000; performance.now() < endMs;) {
    const found = await words(...typed);
    if (found.some((word) => /^[0-9a-f]{32}$/.test(word))) return found;
  }
  return [];
}

test("sessions are those of a background link that stands, and nothing is dialled for them", async () => {
  expect(await words("attach", "dev", "")).toEqual([":none"]);
  const names = existsSync(stage.folder) ? readdirSync(stage.folder) : [];
  expect(names.filter((name) => name.endsWith(".sock"))).toEqual([]);
  expect(stage.vault.requests).toEqual([]);

  const { text } = await stage.run(["run", "dev", "--", "sleep", "60"]);
  const id = text.trim();
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  const links = await stage.links();
  expect(await sessionWords("attach", "dev", "")).toEqual([id, ":none"]);
  expect(await sessionWords("logs", id.slice(0, 3))).toEqual([id, ":none"]);
  expect((await sessionWords("logs", "")).slice(0, 2)).toEqual(["dev", id]);
  expect((await stage.links()).map(({ pid }) => pid)).toEqual(links.map(({ pid }) => pid));
});

test("a link that cannot answer gives no names, and is not waited for", async () => {
  await stage.exec(["true"]);
  const pid = await stage.pid();
  process.kill(pid, "SIGSTOP");
  try {
    // It stands still until we have them.
    expect(await words("attach", "dev", "")).toEqual([":none"]);
  } finally {
    process.kill(pid, "SIGCONT");
  }
});

test("vaults for cp, topics and JSON names for help, and nothing where the configuration is broken", async () => {
  expect(await words("cp", "d")).toEqual(["dev:", ":files"]);
  expect(await words("cp", "dev:")).toEqual(["dev:", ":none"]);
  expect(await words("help", "exit")).toEqual(["exit-codes", ":none"]);
  expect(await words("help", "json", "vault")).toEqual(["vault-list", "vault", ":none"]);
  const broken = await stage.run(["__complete", "--", "exec", ""], {
    FLY_VAULT_CONFIG: "/dev/null/none",
  });
  expect(broken).toMatchObject({ exitCode: 0, text: ":none\n", stderr: "" });
});

test("forward rm knows what listens", async () => {
  const { env } = stage.vault;
  await whileRunning(["forward", "dev", "0:localhost:3000"], env, async () => {
    const listed = JSON.parse((await runInside(["forward", "ls", "--json"], env)).out) as {
      data: { local_port: number }[];
    };
    const port = String(listed.data[0]?.local_port);
    const { out, err } = await runInside(["__complete", "--", "forward", "rm", "dev", ""], env);
    expect([out.split("\t")[0], err]).toEqual([port, ""]);
  });
});
