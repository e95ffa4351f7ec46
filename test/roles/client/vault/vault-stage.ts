import { readFile, writeFile } from "node:fs/promises";
import { main } from "../../../../src/roles/client/main.ts";
import { type MemoryContext, memoryContext } from "../../../support/memory-context.ts";
import type { TestVault } from "../../../support/test-vault.ts";
import { jsonOutputs } from "../../../../src/roles/client/json-outputs.ts";
import { checkPrintedJson } from "../../../support/printed-json.ts";

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly context: MemoryContext;
}

/** The client in this process, with the vault's configuration and nothing else around it. */
export async function say(
  vault: Pick<TestVault, "env" | "folder">,
  argv: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly stdin?: string;
    readonly tty?: boolean;
    readonly cwd?: string;
  } = {},
): Promise<Said> {
  const { stdin = "", tty = false, cwd = vault.folder } = options;
  const env = { ...vault.env, LANG: "C.UTF-8", ...options.env };
  const context = { ...memoryContext({ env, stdin: [Buffer.from(stdin)], tty }), cwd };
  const code = await main(argv, context);
  checkPrintedJson(jsonOutputs, argv, context.out());
  return { code, out: context.out(), err: context.err(), context };
}

export async function config(vault: Pick<TestVault, "configPath">): Promise<string> {
  return readFile(vault.configPath, "utf8");
}

export async function writeConfig(
  vault: Pick<TestVault, "configPath">,
  text: string,
): Promise<void> {
  await writeFile(vault.configPath, text, { mode: 0o600 });
}
