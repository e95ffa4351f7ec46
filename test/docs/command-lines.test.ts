import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { commandLines, mistakeIn } from "./command-lines.ts";

const root = resolve(import.meta.dir, "../..");
const pages = [
  "README.md",
  "DESIGN.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md") && name !== "cli.md")
    .map((name) => `docs/${name}`),
];

test("commandLines finds ours in blocks, indented, behind pipes and in running text", () => {
  const page = [
    "Say `fly-vault exec acme -- true`, or `fly-vault …`.",
    "    FLY_APP=x fly-vault-admin tenant list --json | jq .",
    "```console",
    "$ echo 'a b' | fly-vault cp - acme:/x # and more",
    "$ fly-vault run acme --name 'two words' \\",
    "    -- true",
    "```",
    "```toml",
    "fly-vault = 1",
    "```",
  ].join("\n");
  expect(commandLines(page).map(({ program, words }) => ({ program, words }))).toEqual([
    { program: "fly-vault", words: ["cp", "-", "acme:/x"] },
    { program: "fly-vault", words: ["run", "acme", "--name", "two words", "--", "true"] },
    { program: "fly-vault", words: ["exec", "acme", "--", "true"] },
    { program: "fly-vault-admin", words: ["tenant", "list", "--json"] },
  ]);
});

test("mistakeIn knows commands and flags", async () => {
  expect(await client("exec", "acme", "--", "ls", "--no-such-flag")).toBeUndefined();
  expect(await client("exec", "--no-such-flag", "acme")).toContain("unknown flag");
  expect(await client("nope")).toContain("nope");
});

test("every command line of the documentation has words and flags that exist", async () => {
  const wrong: string[] = [];
  let count = 0;
  for (const page of pages) {
    for (const found of commandLines(readFileSync(join(root, page), "utf8"))) {
      count += 1;
      const mistake = await mistakeIn(found);
      if (mistake !== undefined)
        wrong.push(`${page}:${found.line}: ${found.program} ${found.words.join(" ")}: ${mistake}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(count).toBeGreaterThan(100);
});

async function client(...words: string[]): Promise<string | undefined> {
  return mistakeIn({ line: 1, program: "fly-vault", words });
}
