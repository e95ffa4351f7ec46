import * as v from "valibot";
import { jsonSchemaOf } from "../../src/cli/json-help.ts";
import type { JsonOutputs } from "../../src/cli/json-outputs.ts";
import { jsonSchemaProblems } from "./json-schema.ts";

/**
 * Throws unless what a command printed with `--json` is what `help json` says of it, to the last member.
 * The stages of other tests call it, so every such run of theirs is a test of the schemas as well.
 */
export function checkPrintedJson(
  outputs: JsonOutputs,
  argv: readonly string[],
  printed: string,
): void {
  const end = argv.indexOf("--");
  const words = end === -1 ? argv : argv.slice(0, end);
  if (!words.includes("--json") || printed === "") return;
  const command = ` ${words.filter((word) => !word.startsWith("-")).join(" ")} `;
  const found = Object.entries(outputs).find(([, { from }]) =>
    from.some((name) => command.includes(` ${name} `)),
  );
  if (found === undefined) throw new Error(`${command} --json prints what no schema knows`);
  const [name, output] = found;
  const texts = output.kind === "lines" ? printed.trimEnd().split("\n") : [printed];
  const schema = jsonSchemaOf(name, output);
  for (const text of texts) {
    const value: unknown = JSON.parse(text);
    const { output: known, issues } = v.safeParse(output.schema, value);
    const problems = (issues ?? []).map((each) => `${v.getDotPath(each) ?? "$"}: ${each.message}`);
    // What no schema names is dropped by it.
    if (problems.length === 0 && !Bun.deepEquals(known, value))
      problems.push(`has more than ${JSON.stringify(known)}`);
    problems.push(...jsonSchemaProblems(value, schema as Readonly<Record<string, unknown>>));
    if (problems.length > 0)
      throw new Error(`${name}: ${problems.join("; ")} in ${text.slice(0, 2_000)}`);
  }
}
