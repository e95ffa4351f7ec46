import { toJsonSchema } from "@valibot/to-json-schema";
import type { JsonOutput, JsonOutputs } from "./json-outputs.ts";
import { didYouMean } from "./nearest.ts";
import { UsageError } from "./usage-error.ts";

/** The text of `help json NAME`: a JSON Schema. */
export function renderSchema(outputs: JsonOutputs, name: string, program: string): string {
  const output = Object.hasOwn(outputs, name) ? outputs[name] : undefined;
  if (output === undefined) {
    const hint = didYouMean(name, Object.keys(outputs));
    throw new UsageError(
      `unknown JSON output "${name}"${hint === "" ? ` (${program} help json)` : hint}`,
    );
  }
  return `${JSON.stringify(jsonSchemaOf(name, output), undefined, 2)}\n`;
}

export function jsonSchemaOf(name: string, { from, kind, schema }: JsonOutput): object {
  const of = from.length === 0 ? "--status-fd" : from.map((each) => `${each} --json`).join(", ");
  return {
    ...toJsonSchema(schema, { target: "draft-2020-12", errorMode: "throw" }),
    title: `fly-vault/${name}`,
    description: kind === "lines" ? `One line of ${of}` : of,
  };
}

/** For the end of `help json`: which names there are, and what prints them. */
export function renderOutputNames(outputs: JsonOutputs, program: string): string {
  const width = Math.max(...Object.keys(outputs).map((name) => name.length));
  const rows = Object.entries(outputs).map(
    ([name, { from, kind }]) =>
      `    ${name.padEnd(width)}  ${from.join(", ") || "--status-fd"}${kind === "lines" ? ", each line" : ""}`,
  );
  return `  ${program} help json NAME prints the JSON Schema of\n${rows.join("\n")}\n`;
}
