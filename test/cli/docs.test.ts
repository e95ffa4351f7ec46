import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { cliDocs } from "../support/cli-docs.ts";

const path = fileURLToPath(new URL("../../docs/cli.md", import.meta.url));

test("docs/cli.md is what the programs say of themselves", async () => {
  const docs = await cliDocs();
  if (process.env["FV_UPDATE_DOCS"] === "1") await Bun.write(path, docs);
  expect(await Bun.file(path).text()).toBe(docs);
});
