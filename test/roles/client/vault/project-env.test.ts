import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TestVault } from "../../../support/test-vault.ts";
import { say } from "./vault-stage.ts";

let vault: TestVault;
beforeAll(async () => {
  vault = await TestVault.open();
  await writeFile(join(vault.folder, ".fly-vault.toml"), '[env]\nA = "of the project"\nB = "b"\n');
});
afterAll(async () => {
  await vault.close();
});

test("commands and shells get the variables of the project; a flag comes before them", async () => {
  const command = ["exec", "-e", "B=said", "--", "sh", "-c", 'echo "$A, $B"'];
  expect((await say(vault, command)).out).toBe("of the project, said\n");
  expect((await say(vault, ["connect"], { stdin: 'echo "$A, $B"\n' })).out).toBe(
    "of the project, b\n",
  );
  expect((await say(vault, command, { cwd: "/" })).out).toBe(", said\n");
});
