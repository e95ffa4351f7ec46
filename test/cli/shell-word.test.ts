import { expect, test } from "bun:test";
import fc from "fast-check";
import { shellWord } from "../../src/cli/shell-word.ts";
import { seeded } from "../support/seed.ts";

test("a shell takes it for one word, and for nothing else", () => {
  const word = fc.oneof(
    fc.constantFrom("it's; rm -rf ~", "$(id)`id`", "-n", "a\\'b", "\n"),
    fc.string({ maxLength: 30 }).filter((text) => !text.includes("\0")),
  );
  const property = fc.property(word, (text) => {
    const shell = Bun.spawnSync(["sh", "-c", `printf '%s|' ${shellWord(text)}`], { env: {} });
    expect(shell.stdout.toString()).toBe(`${text.toWellFormed()}|`);
  });
  fc.assert(property, seeded(40));
});
