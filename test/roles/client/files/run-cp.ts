import { jsonOutputs } from "../../../../src/roles/client/json-outputs.ts";
import { main } from "../../../../src/roles/client/main.ts";
import { memoryContext, type MemoryContext } from "../../../support/memory-context.ts";
import { checkPrintedJson } from "../../../support/printed-json.ts";

export interface CopyRun {
  readonly code: number;
  readonly context: MemoryContext;
  readonly out: string;
  readonly err: string;
}

/** `fly-vault cp` to its end, within this process; its JSON is held to its schema. */
export async function runCp(
  env: Readonly<Record<string, string>>,
  words: readonly string[],
  stdin: readonly Uint8Array[] = [],
): Promise<CopyRun> {
  const context = memoryContext({ env, columns: 100, stdin });
  const code = await main(["cp", ...words], context);
  checkPrintedJson(jsonOutputs, ["cp", ...words], context.out());
  return { code, context, out: context.out(), err: context.err() };
}
