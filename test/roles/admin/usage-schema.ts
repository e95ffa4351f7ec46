import { join } from "node:path";
import { jsonSchemaProblems } from "../../support/json-schema.ts";

const path = join(import.meta.dir, "../../../docs/usage-facts.schema.json");
const schema = (await Bun.file(path).json()) as Record<string, unknown>;

/** docs/usage-facts.schema.json, which answers are held against. */
export const schemaOfUsageFacts: { readonly problems: (value: unknown) => string[] } = {
  // As it would travel.
  problems: (value) => jsonSchemaProblems(JSON.parse(JSON.stringify(value)), schema),
};
