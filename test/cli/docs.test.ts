import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cliDocs } from "../support/cli-docs.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("docs/cli.md is what the programs say of themselves", async () => {
  const docs = await formatted(await cliDocs());
  const path = join(root, "docs/cli.md");
  if (process.env["FV_UPDATE_DOCS"] === "1") await Bun.write(path, docs);
  expect(await Bun.file(path).text()).toBe(docs);
});

/** As `make fmt` leaves it. */
async function formatted(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fv-docs-"));
  const path = join(folder, "cli.md");
  try {
    await Bun.write(path, text);
    const { exitCode } = Bun.spawnSync([process.execPath, "fmt", path], {
      cwd: root,
      env: { PATH: process.env["PATH"] ?? "" },
    });
    expect(exitCode).toBe(0);
    return await Bun.file(path).text();
  } finally {
    await rm(folder, { recursive: true });
  }
}
