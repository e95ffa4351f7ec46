import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { spawnClient } from "../../../support/client-process.ts";
import { LinkStage, until } from "../../../support/link-stage.ts";
import { testToken } from "../../../support/test-vault.ts";

/** What moves much has a link of its own, and leaves none behind. */

setDefaultTimeout(120_000);

let stage: LinkStage;
beforeAll(async () => {
  stage = await LinkStage.open();
});
beforeEach(async () => {
  await stage.stop();
});
afterAll(async () => {
  await stage.close();
});

/** How many background links there are while it runs. */
async function linksBeside(...words: readonly string[]): Promise<number> {
  const path = join(stage.vault.folder, "bulk.sock");
  const child = spawnClient(["forward", "dev", `${path}:127.0.0.1:1`, ...words], stage.env);
  try {
    for await (const bytes of child.stdout)
      if (new TextDecoder().decode(bytes).includes("bulk.sock")) break;
    return stage.processes().length;
  } finally {
    child.kill("SIGINT");
    await child.exited;
  }
}

test("forward has a link of its own, unless it is asked to share", async () => {
  expect(await linksBeside()).toBe(0);
  expect(await linksBeside("--link")).toBe(1);
});

test("a copy that is known to be large has one of its own, and a small one has not", async () => {
  const file = join(stage.vault.folder, "file");
  writeFileSync(file, "");
  truncateSync(file, clientLimits.bulkBytesMin);
  expect((await stage.run(["cp", file, "dev:large"])).exitCode).toBe(0);
  expect(stage.processes()).toHaveLength(0);
  truncateSync(file, clientLimits.bulkBytesMin - 1);
  expect((await stage.run(["cp", file, "dev:small"])).exitCode).toBe(0);
  expect(stage.processes()).toHaveLength(1);
});

test("so has an archive to provision", async () => {
  const archive = join(stage.vault.folder, "rootfs.tar");
  writeFileSync(archive, "");
  for (const [size, links] of [
    [clientLimits.bulkBytesMin, 0],
    [clientLimits.bulkBytesMin - 1, 1],
  ] as const) {
    truncateSync(archive, size);
    await stage.run(["provision", "dev", "--from", archive]);
    expect(stage.processes()).toHaveLength(links);
  }
});

test("a program is not asked for the token once more for it", async () => {
  const before = readFileSync(stage.vault.configPath, "utf8");
  const asked = join(stage.vault.folder, "asked");
  writeFileSync(asked, "");
  const command = ["sh", "-c", `echo x >>${asked}; printf %s '${testToken}'`];
  writeFileSync(
    stage.vault.configPath,
    `${before.replace(/access_token = .*\n/, "")}token = { command = ${JSON.stringify(command)} }\n`,
  );
  try {
    for (const _ of ["first", "second"]) expect(await linksBeside()).toBe(1);
    expect(readFileSync(asked, "utf8")).toBe("x\n");
  } finally {
    writeFileSync(stage.vault.configPath, before);
    await until(() => stage.processes().length === 0);
  }
});
