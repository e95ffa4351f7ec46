/** Of JSON Schema 2020-12 as much as our schemas use; a keyword that is not known here throws, so none goes unchecked. */
type Schema = Readonly<Record<string, unknown>>;

/** Every place where a value is not as described; empty when all is well. */
export function jsonSchemaProblems(value: unknown, root: Schema): string[] {
  return problemsOf(value, root, { root, at: "$" });
}

interface Place {
  readonly root: Schema;
  readonly at: string;
}

function problemsOf(value: unknown, schema: Schema, place: Place): string[] {
  return Object.entries(schema).flatMap(([keyword, argument]) => {
    const check = keywords[keyword];
    if (check === undefined) throw new Error(`keyword ${keyword} is not known`);
    return check(value, argument, schema, place).map((problem) =>
      problem.startsWith("$") ? problem : `${place.at}: ${problem}`,
    );
  });
}

type Check = (value: unknown, argument: unknown, schema: Schema, place: Place) => string[];

const none: Check = () => [];
const keywords: Readonly<Record<string, Check>> = {
  $schema: none,
  $defs: none,
  title: none,
  description: none,
  $ref: (value, name, _, place) => problemsOf(value, resolve(String(name), place.root), place),
  type: (value, types) =>
    [types].flat().some((type) => isOfType(value, String(type))) ? [] : [`is no ${String(types)}`],
  const: (value, wanted) => (value === wanted ? [] : [`is not ${String(wanted)}`]),
  enum: (value, choices) => ((choices as unknown[]).includes(value) ? [] : ["is none of them"]),
  pattern: (value, pattern) =>
    typeof value !== "string" || new RegExp(String(pattern)).test(value) ? [] : [`is ${value}`],
  minLength: (value, length) =>
    typeof value !== "string" || value.length >= Number(length) ? [] : ["is too short"],
  minimum: (value, least) =>
    typeof value !== "number" || value >= Number(least) ? [] : [`is ${value}`],
  maximum: (value, most) =>
    typeof value !== "number" || value <= Number(most) ? [] : [`is ${value}`],
  /** Valibot's own check of the same schema is the stricter one. */
  format: none,
  minItems: (value, least) =>
    !Array.isArray(value) || value.length >= Number(least) ? [] : ["has too few"],
  items: (value, items, _, place) =>
    (Array.isArray(value) ? value : []).flatMap((entry, index) =>
      problemsOf(entry, items as Schema, { ...place, at: `${place.at}[${index}]` }),
    ),
  required: (value, names) =>
    (names as string[])
      .filter((name) => isObject(value) && !Object.hasOwn(value, name))
      .map((name) => `has no ${name}`),
  properties: (value, properties, _, place) =>
    Object.entries(isObject(value) ? value : {}).flatMap(([name, entry]) => {
      const schema = (properties as Record<string, Schema>)[name];
      const at = `${place.at}.${name}`;
      return schema === undefined ? [] : problemsOf(entry, schema, { ...place, at });
    }),
  additionalProperties: (value, rule, schema, place) => {
    const known = Object.keys(schema["properties"] ?? {});
    const more = Object.entries(isObject(value) ? value : {}).filter(([n]) => !known.includes(n));
    if (rule === false) return more.map(([name]) => `may not have ${name}`);
    return more.flatMap(([name, entry]) =>
      problemsOf(entry, rule as Schema, { ...place, at: `${place.at}.${name}` }),
    );
  },
  anyOf: (value, schemas, _, place) => {
    const tried = (schemas as Schema[]).map((schema) => problemsOf(value, schema, place));
    return tried.some((problems) => problems.length === 0)
      ? []
      : [`fits none: ${tried.flat().slice(0, 5).join("; ")}`];
  },
  oneOf: (value, schemas, _, place) => {
    const tried = (schemas as Schema[]).map((schema) => problemsOf(value, schema, place));
    const fitting = tried.filter((problems) => problems.length === 0).length;
    return fitting === 1 ? [] : [`fits ${fitting}: ${tried.flat().slice(0, 5).join("; ")}`];
  },
};

function resolve(ref: string, root: Schema): Schema {
  const name = ref.replace("#/$defs/", "");
  const schema = (root["$defs"] as Record<string, Schema>)[name];
  if (schema === undefined) throw new Error(`${ref} leads nowhere`);
  return schema;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isObject(value);
  return type === "integer" ? Number.isSafeInteger(value) : typeof value === type;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
