import { readFileSync } from "node:fs";
import * as v from "valibot";

/**
 * Fly's published description of the Machines API (Apache 2.0; structure only, and only the calls
 * that fly-local has), against which every request and answer of its tests is held.
 */
const text = readFileSync(new URL("../vectors/machines-openapi.json", import.meta.url), "utf8");

interface Schema {
  readonly $ref?: string | undefined;
  readonly type?: string | undefined;
  readonly enum?: readonly unknown[] | undefined;
  readonly items?: Schema | undefined;
  readonly allOf?: readonly Schema[] | undefined;
  readonly properties?: Readonly<Record<string, Schema>> | undefined;
  readonly additionalProperties?: Schema | boolean | undefined;
}

const schema: v.GenericSchema<Schema> = v.looseObject({
  $ref: v.optional(v.string()),
  type: v.optional(v.string()),
  enum: v.optional(v.array(v.unknown())),
  items: v.optional(v.lazy(() => schema)),
  allOf: v.optional(v.array(v.lazy(() => schema))),
  properties: v.optional(
    v.record(
      v.string(),
      v.lazy(() => schema),
    ),
  ),
  additionalProperties: v.optional(v.union([v.boolean(), v.lazy(() => schema)])),
});
const content = v.optional(v.record(v.string(), v.looseObject({ schema: v.optional(schema) })));
const operation = v.looseObject({
  parameters: v.optional(v.array(v.looseObject({ name: v.string(), in: v.string() }))),
  requestBody: v.optional(v.looseObject({ content })),
  responses: v.record(v.string(), v.looseObject({ content })),
});
const description = v.parse(
  v.looseObject({
    paths: v.record(v.string(), v.record(v.string(), operation)),
    components: v.looseObject({ schemas: v.record(v.string(), schema) }),
  }),
  JSON.parse(text),
);

/** What the live service is known to do otherwise than its description says. */
const departures: readonly { readonly at: RegExp; readonly may: (value: unknown) => boolean }[] = [
  // Nothing is marked as nullable.
  { at: /\.attached_(?:machine|alloc)_id$/, may: (value) => value === null },
  { at: /^request\.metadata\.[^.]+$/, may: (value) => value === null },
  { at: /^request(?:\.region|\.name)$/, may: (value) => value === null },
  // What it does not know it drops without a word; this one is a common mistake.
  { at: /^request\.config\.auto_stop_machines$/, may: () => true },
  // A lease also comes wrapped, as Fly's own client reads it.
  { at: /^lease answer\.(?:status|data)$/, may: () => true },
  { at: /^regions answer\.(?:Regions|Nearest)$/, may: () => true },
];

/** Older spellings, which Fly's own client still uses. */
const flyctlQueries: ReadonlySet<string> = new Set(["ttl", "kill"]);

/** Every call that is described, as `GET /v1/apps/{}`. */
export const describedCalls: readonly string[] = Object.entries(description.paths).flatMap(
  ([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${unnamed(path)}`),
);

/** Without the names of its variables, which everybody chooses as they like. */
export function unnamed(path: string): string {
  return path.replaceAll(/\{[^}]*\}/gu, "{}");
}

/** Everything about a request that is not as described; undefined where the call is not described at all. */
export function requestProblems(
  method: string,
  path: string,
  query: Iterable<string>,
  body: unknown,
): string[] | undefined {
  const found = operationOf(method, path);
  if (found === undefined) return undefined;
  const parameters = (found.parameters ?? []).filter((each) => each.in === "query");
  const names = new Set(parameters.map(({ name }) => name));
  const known = (name: string): boolean =>
    names.has(name) ||
    flyctlQueries.has(name) ||
    (name.startsWith("metadata.") && names.has("metadata.{key}"));
  const strange = [...query].filter((name) => !known(name)).map((name) => `query ${name}`);
  const expected = schemaOf(found.requestBody?.content);
  if (body === undefined || expected === undefined) return strange;
  return [...strange, ...problems(body, expected, "request")];
}

/** The same for an answer. */
export function answerProblems(
  method: string,
  path: string,
  status: number,
  body: unknown,
): string[] | undefined {
  const found = operationOf(method, path);
  if (found === undefined) return undefined;
  if (status >= 400) return errorProblems(body);
  const answer = found.responses[String(status)];
  if (answer === undefined) return [`status ${status}: not described`];
  const expected = schemaOf(answer.content);
  const place = /\/(lease|regions)$/u.exec(path)?.[1];
  return expected === undefined
    ? []
    : problems(body, expected, place === undefined ? "answer" : `${place} answer`);
}

/** Conflicts over a lease have a shape of their own, which the description does not know. */
function errorProblems(body: unknown): string[] {
  if (v.is(v.strictObject({ status: v.literal("error"), message: v.string() }), body)) return [];
  return problems(body, { $ref: "#/components/schemas/ErrorResponse" }, "answer");
}

/** Of several templates the one with the fewest variables: `/versions` is not a `{key}`. */
function operationOf(method: string, path: string): v.InferOutput<typeof operation> | undefined {
  const segments = path.split("/");
  const [template] = Object.keys(description.paths)
    .filter((each) => matches(each.split("/"), segments))
    .toSorted((a, b) => a.split("{").length - b.split("{").length);
  return template === undefined ? undefined : description.paths[template]?.[method.toLowerCase()];
}

function matches(template: readonly string[], segments: readonly string[]): boolean {
  return (
    template.length === segments.length &&
    template.every((each, index) => each.startsWith("{") || each === segments[index])
  );
}

function schemaOf(given: v.InferOutput<typeof content>): Schema | undefined {
  return Object.values(given ?? {})[0]?.schema;
}

function problems(value: unknown, expected: Schema, at: string): string[] {
  if (departures.some((each) => each.at.test(at) && each.may(value))) return [];
  if (expected.$ref !== undefined) return problems(value, resolved(expected.$ref), at);
  const inherited = (expected.allOf ?? []).flatMap((each) => problems(value, each, at));
  if (expected.allOf !== undefined) return inherited;
  if (expected.enum !== undefined && !expected.enum.includes(value))
    return [`${at}: ${JSON.stringify(value)} is none of ${expected.enum.join(", ")}`];
  if (expected.type === "array") {
    if (!Array.isArray(value)) return [`${at}: no list`];
    const { items } = expected;
    return items === undefined
      ? []
      : value.flatMap((entry, index) => problems(entry, items, `${at}[${index}]`));
  }
  if (expected.type === "object" || expected.properties !== undefined)
    return memberProblems(value, expected, at);
  return isOfType(value, expected.type)
    ? []
    : [`${at}: ${JSON.stringify(value)} is no ${expected.type}`];
}

function memberProblems(value: unknown, expected: Schema, at: string): string[] {
  if (!v.is(v.record(v.string(), v.unknown()), value) || Array.isArray(value))
    return [`${at}: no object`];
  const { properties, additionalProperties: others } = expected;
  // An object of which nothing is said may hold anything.
  if (properties === undefined && others === undefined) return [];
  return Object.entries(value).flatMap(([key, entry]) => {
    if (entry === undefined) return [];
    const place = `${at}.${key}`;
    const member =
      properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : others;
    if (member === true) return [];
    if (typeof member === "object") return problems(entry, member, place);
    return departures.some((each) => each.at.test(place)) ? [] : [`${place}: not described`];
  });
}

function isOfType(value: unknown, type: string | undefined): boolean {
  if (type === undefined) return true;
  if (type === "integer") return Number.isSafeInteger(value);
  return typeof value === type;
}

function resolved(reference: string): Schema {
  const name = reference.split("/").at(-1) ?? "";
  const found = description.components.schemas[name];
  if (found === undefined) throw new Error(`The description has no ${reference}`);
  return found;
}
