import { expect, test } from "bun:test";
import { defineCommand, type Program } from "../../src/cli/command.ts";
import { complete, type LiveNames } from "../../src/cli/completion.ts";

const run = async () => 0;
const program: Program = {
  name: "tool",
  summary: "a tool",
  topics: { config: "…" },
  commands: [
    defineCommand({
      name: "exec",
      summary: "run it",
      positionals: { vault: { name: "VAULT", optional: true } },
      passthrough: { name: "COMMAND" },
      flags: {
        tty: { short: "t", negatable: true, summary: "terminal" },
        transport: { value: "KIND", choices: ["quic", "tcp"], summary: "which" },
        output: { short: "o", value: "FILE", summary: "where" },
        secret: { value: "X", hidden: true, summary: "not shown" },
      },
      run,
    }),
    defineCommand({
      name: "logs",
      summary: "read it",
      positionals: { vault: { name: "VAULT" }, session: { name: "SESSION", repeatable: true } },
      run,
    }),
    defineCommand({ name: "vault ls", summary: "list", run }),
    defineCommand({ name: "vault rm", summary: "remove", run }),
    defineCommand({ name: "hidden", summary: "", hidden: true, run }),
  ],
};
const live: LiveNames = {
  VAULT: () => [{ word: "my-dev" }, { word: "mine" }, { word: "other" }],
  SESSION: async (vault) => [{ word: `build-of-${vault}` }],
};

async function words(...typed: string[]): Promise<string[]> {
  const { candidates, files } = await complete(program, typed, live);
  return [...candidates.map(({ word }) => word), ...(files ? [":files"] : [])];
}

test.each([
  [[""], ["exec", "logs", "vault", "help"]],
  [["e"], ["exec"]],
  [
    ["vault", ""],
    ["ls", "rm"],
  ],
  [["vault", "r"], ["rm"]],
  [["help", "co"], ["config"]],
  [["-v", "e"], ["exec"]],
  [
    ["exec", "m"],
    ["my-dev", "mine"],
  ],
  [["exec", "--tr"], ["--transport"]],
  [
    ["exec", "--no"],
    ["--no-input", "--no-tty"],
  ],
  [["exec", "--se"], []],
  [
    ["exec", "--transport", ""],
    ["quic", "tcp"],
  ],
  [["exec", "--transport", "t"], ["tcp"]],
  [["exec", "--output", ""], [":files"]],
  [["exec", "-to", ""], [":files"]],
  [
    ["exec", "--output=x", "m"],
    ["my-dev", "mine"],
  ],
  [["exec", "my-dev", "ls"], [":files"]],
  [["exec", "my-dev", "--tr"], ["--transport"]],
  [
    ["exec", "my-dev", "--transport", ""],
    ["quic", "tcp"],
  ],
  [["exec", "my-dev", "ls", "--tr"], [":files"]],
  [["exec", "my-dev", "--", "--tr"], [":files"]],
  [["exec", "--", "my"], [":files"]],
  [["logs", "other", ""], ["build-of-other"]],
  [["logs", "other", "one", "b"], ["build-of-other"]],
  [["nothing", "else", ""], []],
  [["vault", "ls", "x"], []],
  [[], ["exec", "logs", "vault", "help"]],
])("%j offers %j", async (typed, offered) => {
  expect(await words(...typed)).toEqual(offered);
});
