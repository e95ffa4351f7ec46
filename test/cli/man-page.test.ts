import { expect, test } from "bun:test";
import { defineCommand } from "../../src/cli/command.ts";
import { type ManPage, manPages } from "../../src/cli/man-page.ts";
import { program as admin } from "../../src/roles/admin/program.ts";
import { program as client } from "../../src/roles/client/program.ts";

async function mandoc(words: readonly string[], text: string): Promise<string> {
  const child = Bun.spawn(["mandoc", ...words], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  await child.stdin.write(text);
  await child.stdin.end();
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return out + err;
}

const pages: readonly ManPage[] = [...manPages(client, "1.2.3"), ...manPages(admin, "1.2.3")];

test("there is a page for every command and topic", () => {
  const files = pages.map(({ file }) => file);
  for (const file of [
    "fly-vault.1",
    "fly-vault-exec.1",
    "fly-vault-vault-ls.1",
    "fly-vault-config.7",
  ])
    expect(files).toContain(file);
  expect(new Set(files).size).toBe(files.length);
});

test("mandoc finds nothing to complain of but the date, which would make every build another", async () => {
  const complaints = await Promise.all(
    pages.map(async ({ file, text }) =>
      (await mandoc(["-T", "lint", "-W", "warning"], text)).replaceAll("<stdin>", file),
    ),
  );
  const said = complaints
    .join("")
    .split("\n")
    .filter((line) => line !== "" && !/missing date|cannot parse date/.test(line));
  expect(said).toEqual([]);
});

test("words that look like requests or escapes come out as they are", async () => {
  const odd = defineCommand({
    name: "odd",
    summary: "a 'summary' with \\n and -- dashes",
    examples: [".hidden 'x' \\e"],
    run: async () => 0,
  });
  const page = manPages({ name: "tool", summary: "s", commands: [odd] }, "1").at(1);
  const shown = await mandoc(["-T", "ascii", "-O", "width=100"], page?.text ?? "");
  // Bold is written as letters over themselves.
  const plain = shown.replaceAll(new RegExp(`.${String.fromCodePoint(8)}`, "g"), "");
  expect(plain).toContain("a 'summary' with \\n and -- dashes");
  expect(plain).toContain(".hidden 'x' \\e");
});
