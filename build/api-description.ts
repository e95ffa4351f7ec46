import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as v from "valibot";

/**
 * Writes src/fly/api-types.ts from the Machines API's description, test/vectors/machines-openapi.json:
 *
 *     bun build/api-description.ts [OPENAPI.json [OUTPUT.ts]]
 *
 * Fly publishes that file at https://docs.fly.io/api/machines/openapi.json. This is no part of any
 * build: what it makes is committed, and made anew by hand when the description has changed.
 */
interface Schema {
  readonly $ref?: string | undefined;
  readonly type?: string | undefined;
  readonly enum?: readonly (string | number)[] | undefined;
  readonly allOf?: readonly Schema[] | undefined;
  readonly items?: Schema | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly additionalProperties?: Schema | boolean | undefined;
}

const schema: v.GenericSchema<Schema> = v.object({
  $ref: v.optional(v.string()),
  type: v.optional(v.string()),
  enum: v.optional(v.array(v.union([v.string(), v.number()]))),
  allOf: v.optional(v.array(v.lazy(() => schema))),
  items: v.optional(v.lazy(() => schema)),
  properties: v.optional(
    v.record(
      v.string(),
      v.lazy(() => schema),
    ),
  ),
  additionalProperties: v.optional(v.union([v.boolean(), v.lazy(() => schema)])),
});
const description = v.object({
  info: v.object({ title: v.string(), version: v.string() }),
  components: v.object({ schemas: v.record(v.string(), schema) }),
});

/** What our calls send and take; all that these name comes along. */
const roots = [
  "App",
  "CreateMachineRequest",
  "CreateVolumeRequest",
  "ErrorResponse",
  "Lease",
  "Machine",
  "MachineExecRequest",
  "UpdateMachineRequest",
  "Volume",
  "WaitMachineResponse",
  "flydv1.ExecResponse",
];

const [
  input = inTree("test/vectors/machines-openapi.json"),
  output = inTree("src/fly/api-types.ts"),
] = process.argv.slice(2);
const { info, components } = v.parse(description, JSON.parse(readFileSync(input, "utf8")));
const { schemas } = components;

const lines = [
  `/** Made by build/api-description.ts from "${info.title}" ${info.version} (Apache-2.0). Do not edit. */`,
  "export interface ApiSchemas {",
  ...reachable(roots).map((name) => `${JSON.stringify(name)}: ${typeText(schemas[name] ?? {})};`),
  "}",
  "",
  "/** Every member of a machine's configuration, and the schema of what it holds if that is ours to know. */",
  "export const configMembers: Readonly<Record<string, Readonly<Record<string, string | null>>>> = {",
  ...reachable(["fly.MachineConfig"])
    .filter((name) => schemas[name]?.properties !== undefined)
    .map((name) => `${JSON.stringify(name)}: ${membersText(schemas[name] ?? {})},`),
  "};",
  "",
];
await Bun.write(output, lines.join("\n"));
Bun.spawnSync(["bun", "fmt", output]);

function inTree(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

function reachable(from: readonly string[]): string[] {
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    for (const each of references(schemas[name] ?? {})) visit(each);
  };
  for (const name of from) visit(name);
  return [...seen].toSorted();
}

function references(each: Schema): string[] {
  const { items, additionalProperties: rest, properties = {}, allOf = [] } = each;
  const inner = [...Object.values(properties), ...allOf];
  if (items !== undefined) inner.push(items);
  if (typeof rest === "object") inner.push(rest);
  return [...(each.$ref === undefined ? [] : [nameOf(each.$ref)]), ...inner.flatMap(references)];
}

function nameOf(reference: string): string {
  return reference.slice("#/components/schemas/".length);
}

/** Fly marks nothing as needed, so every member may be missing. */
function typeText(each: Schema): string {
  if (each.$ref !== undefined) return `ApiSchemas[${JSON.stringify(nameOf(each.$ref))}]`;
  if (each.allOf !== undefined) return each.allOf.map(typeText).join(" & ");
  if (each.enum !== undefined) return each.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (each.type === "array") return `readonly (${typeText(each.items ?? {})})[]`;
  if (each.type === "integer" || each.type === "number") return "number";
  if (each.type === "string" || each.type === "boolean") return each.type;
  if (each.properties !== undefined) {
    const members = Object.entries(each.properties).map(
      ([name, value]) => `readonly ${JSON.stringify(name)}?: ${typeText(value)};`,
    );
    return `{ ${members.join(" ")} }`;
  }
  const rest = each.additionalProperties;
  return typeof rest === "object"
    ? `Readonly<Record<string, ${typeText(rest)}>>`
    : each.type === "object"
      ? "Readonly<Record<string, unknown>>"
      : "unknown";
}

/** `[name]` is a list of that schema, `{name}` a table of it by names of the user's own. */
function membersText(each: Schema): string {
  const members = Object.entries(each.properties ?? {}).map(([name, value]) => {
    const { items, additionalProperties: rest } = value;
    const inner = [
      [value.$ref ?? value.allOf?.[0]?.$ref, "", ""],
      [items?.$ref, "[", "]"],
      [typeof rest === "object" ? rest.$ref : undefined, "{", "}"],
    ] as const;
    const found = inner.find(([reference]) => reference !== undefined);
    const kind = found === undefined ? null : found[1] + nameOf(found[0] ?? "") + found[2];
    return `${JSON.stringify(name)}: ${JSON.stringify(kind)}`;
  });
  return `{ ${members.join(", ")} }`;
}
