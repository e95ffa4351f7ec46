import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { explanations } from "../../src/cli/explanations.ts";
import { failureCodes } from "../../src/cli/failure-codes.ts";
import { cliDocs } from "../support/cli-docs.ts";
import { documentedPrefixes, troubleshootingDocs } from "../support/troubleshooting-docs.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("docs/cli.md is what the programs say of themselves", async () => {
  await expectPage("docs/cli.md", await cliDocs());
});

test("docs/troubleshooting.md has every code, as it is explained", async () => {
  const prefixes = Object.keys(failureCodes).map((code) => code.split("-")[1] ?? "");
  expect(documentedPrefixes.toSorted()).toEqual([...new Set(prefixes)].toSorted());
  await expectPage("docs/troubleshooting.md", troubleshootingDocs());
});

test("every command that an error or an explanation tells to run is there", async () => {
  const docs = await cliDocs();
  const hints = Object.values(explanations).map(({ remedy }) => remedy);
  for (const path of new Bun.Glob("src/{cli,roles}/**/*.ts").scanSync(root)) {
    const source = await Bun.file(join(root, path)).text();
    hints.push(...(source.match(/\bfix(?::|\?:)[^;]*?["`][\s\S]*?["`]\s*[,}]/g) ?? []));
  }
  const told = new Set(
    hints.flatMap(
      (hint) =>
        hint.match(
          /(?<=^|["`]| {2})fly-vault(?:-admin(?: tenant| proxy-key)?| vault| token| config| ssh-config)? [a-z][a-z-]+/g,
        ) ?? [],
    ),
  );
  expect(told.size).toBeGreaterThan(5);
  const missing = [...told].filter((command) => !docs.includes(`\n### ${command}\n`));
  expect(missing.filter((command) => command !== "fly-vault help")).toEqual([]);
});

async function expectPage(name: string, text: string): Promise<void> {
  const docs = await formatted(text);
  const path = join(root, name);
  if (process.env["FV_UPDATE_DOCS"] === "1") await Bun.write(path, docs);
  expect(await Bun.file(path).text()).toBe(docs);
}

/** As `make fmt` leaves it. */
async function formatted(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "fv-docs-"));
  const path = join(folder, "page.md");
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
